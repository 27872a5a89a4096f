"""Code from outside: block kinds, data sources, samplers, metrics and parts of growth that it registers, like ours.

A plugin is a Python file that somebody gives, or an installed package with an entry point in the group
`growlab.plugins` that names a module. To import this module is light; to load plugins imports torch.
"""

import hashlib
import sys
import traceback
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from growlab.errors import PluginError, did_you_mean
from growlab.files import resolved
from growlab.home import from_home
from growlab.kinds import KINDS
from growlab.recipes import PARTS
from growlab.registry import NameTaken, Registry
from growlab.samplers import SAMPLERS

ENTRY_POINTS = "growlab.plugins"

_LOADED: dict[str, str] = {}  # file or package → sha256 or version
_OWNERS: dict[tuple[str, str], str] = {}  # (sort of thing, name) → the file or package that registered it


def plugin_file(path: Path) -> Path:
    """The absolute path of a plugin's file, which is not imported. Raises PluginError for what cannot be one."""
    file = resolved(from_home(path))
    if file.is_dir():
        raise PluginError(f"plugin {path} is a folder; give the Python file in it that registers something")
    if not file.is_file():
        beside = [path.name for path in file.parent.glob("*.py")]
        raise PluginError(f"no plugin file {str(path)!r}; give the path of one.{did_you_mean(file.name, beside)}")
    if file.suffix != ".py":
        raise PluginError(f"plugin {path} must be a Python file, with a name that ends in .py")
    return file


def has_outside() -> bool:
    """Whether an installed package, or a file that was loaded before, adds to what growlab has itself."""
    return bool(_LOADED) or bool(entry_points(group=ENTRY_POINTS))


def load_plugins(files: Iterable[Path] = ()) -> dict[str, str]:
    """Fill the registries: with what growlab has itself, then with installed packages, then with these files.

    A file is loaded once in a process, and all of it or nothing. Returns what is loaded by now: each file with
    the first 12 hexadecimal digits of its sha256, each package with its version. Raises PluginError.
    """
    _registries()
    for entry_point in entry_points(group=ENTRY_POINTS):
        _load_entry_point(entry_point)
    for file in map(plugin_file, files):
        if str(file) not in _LOADED:
            _load_file(file)
    return dict(_LOADED)


def _registries() -> tuple[Registry[Any], ...]:
    """The registries that plugins add to. growlab's own entries come in with the import."""
    import growlab.blocks
    import growlab.growth.operators
    import growlab.growth.positions
    import growlab.growth.triggers
    import growlab.search.samplers
    import growlab.training.decode_speed  # noqa: F401  (they fill the tables)
    from growlab.data.sources import SOURCES
    from growlab.metrics import METRICS

    return KINDS, SOURCES, SAMPLERS, METRICS, *PARTS.values()


def _load_entry_point(entry_point: EntryPoint) -> None:
    package = entry_point.dist
    assert package is not None, "entry_points() knows where it found one"
    try:
        _register(package.name, entry_point.load)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{package.name} {package.version} cannot be loaded as a plugin ({entry_point.value}): {_reason(error)}; "
            f"upgrade it, or remove it: pip uninstall {package.name}"
        ) from error
    _LOADED[package.name] = package.version


def _load_file(file: Path) -> None:
    try:
        source = file.read_bytes()
        registered = _register(str(file), lambda: _run(file, source))
    except (Exception, SystemExit) as error:
        raise PluginError(f"plugin {file}{_line(file, error)}: {_reason(error)}") from error
    if not registered:
        raise PluginError(f"plugin {file} registers nothing; decorate what it adds, as with @register_block")
    _LOADED[str(file)] = hashlib.sha256(source).hexdigest()[:12]


def _run(file: Path, source: bytes) -> None:
    """Execute a module from the bytes that are on record, past any cache of compiled files."""
    module = ModuleType(f"growlab_plugin_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # where dataclasses and pickle look a class up
    try:
        exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise


def _register(owner: str, run: Callable[[], object]) -> bool:
    """Run a registration and return whether it registered anything. Of one that fails nothing stays."""
    registries = _registries()
    before = [dict(registry) for registry in registries]
    try:
        run()
    except BaseException:
        for registry, entries in zip(registries, before, strict=True):
            registry.reset(entries)
        raise
    added = {
        (registry.what, name)
        for registry, entries in zip(registries, before, strict=True)
        for name in registry
        if name not in entries
    }
    _OWNERS.update(dict.fromkeys(added, owner))
    return bool(added)


def _line(file: Path, error: BaseException) -> str:
    """The last line of the file that an error reached, as ', line 7'."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    return f", line {lines[-1]}" if lines else ""


def _reason(error: BaseException) -> str:
    if isinstance(error, NameTaken):
        return _taken(error)
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return ": ".join([type(error).__name__, *message.splitlines()[:1]])


def _taken(error: NameTaken) -> str:
    """Say who registered a name before, unless the plugin did so itself, twice: then it is taken no more."""
    if not any(registry.what == error.what and error.name in registry for registry in _registries()):
        return str(error)
    owner = _OWNERS.get((error.what, error.name), "growlab itself")
    return f"{error.what} {error.name!r} is taken, by {owner}; choose another name"
