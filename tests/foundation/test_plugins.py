"""Plugins: files and installed packages that register what growlab does not have."""

import hashlib
import pickle
import re
import sys
from textwrap import dedent

import pytest

from growlab.data.sources import SOURCES
from growlab.errors import PluginError
from growlab.kinds import KINDS
from growlab.plugins import load_plugins, plugin_file
from growlab.recipes import OPERATORS, PARTS
from growlab.samplers import SAMPLERS

SOURCE = """
    from growlab.data import register_source

    @register_source("{name}", "for a test")
    def read(spec):
        return "a text"
"""


@pytest.fixture(autouse=True)
def registries():
    """Nothing that a test registers is there for the next one."""
    load_plugins()
    tables = (KINDS, SOURCES, SAMPLERS, *PARTS.values())
    before = [dict(each) for each in tables]
    yield tables
    for table, entries in zip(tables, before, strict=True):
        table.reset(entries)


@pytest.fixture
def write(tmp_path):
    """Writes a plugin, by default one that registers a data source of the file's name."""

    def write_file(name, text=SOURCE):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(dedent(text.replace("{name}", file.stem)))
        return file

    return write_file


@pytest.fixture
def publish(write, tmp_path, monkeypatch):
    """Installs a package `NAME-plugin 1.2` of one module, as pip would, and names the module as an entry point."""
    modules = []

    def install(module, text=SOURCE):
        write(f"site/{module}.py", text)
        about = tmp_path / "site" / f"{module}_plugin-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}-plugin\nVersion: 1.2\n")
        (about / "entry_points.txt").write_text(f"[growlab.plugins]\nanything = {module}\n")
        modules.append(module)
        monkeypatch.syspath_prepend(tmp_path / "site")

    yield install
    for module in modules:
        sys.modules.pop(module, None)


# ---- files ----------------------------------------------------------------------------------------------------


def test_without_any_plugin_there_is_what_growlab_has_itself():
    load_plugins()

    assert {"attn", "conv", "mlp"} <= set(KINDS)
    assert "stdlib" in SOURCES
    assert "aiether" in OPERATORS


def test_a_file_adds_kinds_sources_and_operators(write, repository):
    block = write("my_block.py", (repository / "docs" / "my_block.py").read_text())
    source = write("my_source.py")
    operator = write(
        "my_operator.py",
        """
        from growlab.growth.source import tensor_by_tensor
        from growlab.recipes import register_operator

        @register_operator("halved", "half of the newest snapshot")
        @tensor_by_tensor
        def halved(path, options, source):
            return path.last / 2
        """,
    )

    load_plugins([block, source, operator])

    assert KINDS["shift"].role == "sequence"
    assert SOURCES["my_source"].read(None) == "a text"
    assert OPERATORS["halved"].summary == "half of the newest snapshot"


def test_the_plugins_that_the_documents_show_can_be_loaded(tmp_path, repository):
    shown = re.findall(r"```python\n(.*?)```", (repository / "docs" / "plugins.md").read_text(), flags=re.DOTALL)
    files = [tmp_path / f"shown_{at}.py" for at in range(len(shown))]
    for file, text in zip(files, shown, strict=True):
        file.write_text(text)

    load_plugins(files)

    assert SOURCES["log"].summary == "lines of the system log"
    assert OPERATORS["shrunk"].summary == "the newest snapshot, smaller"


def test_a_file_is_on_record_with_the_sha256_of_what_ran(write):
    file = write("recorded.py")

    loaded = load_plugins([file])

    assert loaded[str(file)] == hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def test_a_file_is_loaded_once_whatever_it_is_called(write, tmp_path, monkeypatch):
    file = write("once.py")
    (tmp_path / "link.py").symlink_to(file)
    monkeypatch.chdir(tmp_path)

    first = load_plugins([file])
    again = load_plugins([plugin_file(file.relative_to(tmp_path)), tmp_path / "link.py"])

    assert again == first


def test_what_a_file_defines_is_found_by_its_name(write):
    """By pickle, and by dataclasses where annotations are texts."""
    file = write(
        "named.py",
        """
        from __future__ import annotations
        from dataclasses import dataclass
        from growlab.data import register_source

        @dataclass
        class Point:
            x: int

        @register_source("named", "")
        def read(spec):
            return Point(3)
        """,
    )

    load_plugins([file])

    point = SOURCES["named"].read(None)
    assert pickle.loads(pickle.dumps(point)) == point


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.py", r"^no plugin file '.*nowhere\.py'; give the path of one\.$"),
        ("taht.py", r"no plugin file '.*taht\.py'; give the path of one\. Did you mean 'that\.py'\?"),
        ("folder", r"plugin .*folder is a folder; give the Python file in it"),
        ("notes.txt", r"plugin .*notes\.txt must be a Python file, with a name that ends in \.py"),
    ],
)
def test_what_cannot_be_a_plugin_is_refused_before_anything_is_imported(write, tmp_path, path, message):
    write("that.py")
    write("notes.txt")
    (tmp_path / "folder").mkdir()

    with pytest.raises(PluginError, match=message):
        plugin_file(tmp_path / path)


FAILING = {
    "raises": ("def f():\n    return 1 / 0\n\nf()\n", r"raises\.py, line 2: ZeroDivisionError: division by zero$"),
    "parses": ("x = 1\ndef f(:\n", r"parses\.py, line 2: SyntaxError: invalid syntax$"),
    "imports": ("import nmpy\n", r"imports\.py, line 1: ModuleNotFoundError: No module named 'nmpy'$"),
    "leaves": ("import sys\nsys.exit('bye')\n", r"leaves\.py, line 2: SystemExit: bye$"),
    "asserts": ("assert False\n", r"asserts\.py, line 1: AssertionError$"),
    "wordy": ("raise ValueError('one\\ntwo')\n", r"wordy\.py, line 1: ValueError: one$"),
    "idle": ("x = 1\n", r"idle\.py registers nothing; decorate what it adds, as with @register_block$"),
    "text": (SOURCE.replace("{name}", "text"), r"line 4: data source 'text' is taken, by growlab itself; choose"),
    "twice": (SOURCE + SOURCE, r"twice\.py, line 10: data source 'twice' is registered twice$"),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_file_that_fails_is_one_line_with_the_place(write, name):
    text, message = FAILING[name]
    file = write(f"{name}.py", text)

    with pytest.raises(PluginError, match=message) as caught:
        load_plugins([file])

    assert len(str(caught.value).splitlines()) == 1


def test_a_name_that_another_plugin_has_taken_is_said_with_that_plugin(write):
    first, second = write("first.py"), write("second.py", SOURCE.replace("{name}", "first"))

    with pytest.raises(PluginError, match=rf"second\.py, line 4: data source 'first' is taken, by {first};"):
        load_plugins([first, second])

    assert "first" in SOURCES


def test_nothing_stays_of_a_file_that_fails_and_it_loads_once_it_is_mended(write, registries):
    before = [dict(each) for each in registries]
    file = write("late.py", SOURCE + "\n    raise RuntimeError\n")

    with pytest.raises(PluginError, match="line 8: RuntimeError"):
        load_plugins([file])

    assert [dict(each) for each in registries] == before
    assert not any(name.endswith("late_py") for name in sys.modules)
    write("late.py")
    load_plugins([file])
    assert "late" in SOURCES


def test_the_error_of_a_file_is_kept_for_debugging(write):
    with pytest.raises(PluginError) as caught:
        load_plugins([write("cause.py", "1 / 0")])

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# ---- installed packages ---------------------------------------------------------------------------------------


def test_an_installed_package_is_loaded_without_being_asked_for(publish):
    publish("whispers")

    loaded = load_plugins()

    assert "whispers" in SOURCES
    assert loaded["whispers-plugin"] == "1.2"
    assert load_plugins() == loaded


def test_an_installed_package_that_fails_is_named_with_the_way_out(publish, registries):
    before = [dict(each) for each in registries]
    publish("mutters", SOURCE + "\n    import nmpy\n")

    with pytest.raises(
        PluginError,
        match=r"^mutters-plugin 1\.2 cannot be loaded as a plugin \(mutters\): ModuleNotFoundError: "
        r"No module named 'nmpy'; upgrade it, or remove it: pip uninstall mutters-plugin$",
    ):
        load_plugins()

    assert [dict(each) for each in registries] == before


def test_a_file_cannot_take_the_name_that_a_package_has(publish, write):
    publish("shouts")

    with pytest.raises(PluginError, match="data source 'shouts' is taken, by shouts-plugin; choose another name"):
        load_plugins([write("mine.py", SOURCE.replace("{name}", "shouts"))])
