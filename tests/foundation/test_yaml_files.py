"""YAML within limits: what is hostile ends at once in a line, what is sound reads as PyYAML reads it."""

import os
import resource
import time
from pathlib import Path

import pytest
import yaml

from growlab.errors import SpecError
from growlab.resources import shipped_studies
from growlab.study.file import read_study_file
from growlab.study.overrides import apply_overrides
from growlab.yaml_file import LOADER, MAX_BYTES, PYTHON_LOADER, parse_yaml, read_yaml, yaml_text

STUDY = """\
name: first
n_trials: 20
budget: {steps: 100}
layouts: {blocks: [attn, mlp], d_model: 64, depth: [2, 6]}
"""


def laughs(first: str, again: str, n: int = 12) -> str:
    """Each line names the one before it ten times."""
    lines = [f"a: &a0 {first}"]
    lines += [f"b{at}: &a{at} {again.format(','.join([f'*a{at - 1}'] * 10))}" for at in range(1, n)]
    return "\n".join(lines)


def chain(n: int) -> str:
    """Collections thirty deep, each with the one before it in its middle."""
    inner = ["1", *(f"*a{at}" for at in range(n))]
    return "\n".join(f"a{at}: &a{at} {'[' * 30}{each}{']' * 30}" for at, each in enumerate(inner))


HOSTILE = {
    "list of lists": (laughs("[1, 1]", "[{}]"), r"holds more than 50,000 values, its aliases written out \(line 6\)"),
    "merges": (laughs("{k: 1}", "{{<<: [{}]}}"), "holds more than 50,000 values"),
    "one long text, often": (f"a: &a {'x' * 99_999}\nb: [{'*a, ' * 999}]", "holds more than 1,024,000 characters"),
    "many values": ("[" + "1," * 120_000 + "]", "holds more than 50,000 values"),
    "brackets, open": ("x: " + "[" * 5_000, r"is nested more than 50 deep \(line 1\)"),
    "brackets, closed": ("x: " + "[" * 5_000 + "]" * 5_000, "is nested more than 50 deep"),
    "block after block": ("\n".join(" " * at + "a:" for at in range(600)), r"nested more than 50 deep \(line 51\)"),
    "dashes": ("- " * 100_000, "is nested more than 50 deep"),
    "a chain of aliases": (chain(100), r"is nested more than 50 deep \(line 2\)"),
    "itself": ("layouts: &l {front: *l}", r"has no end: the alias \*l stands inside of what it names \(line 1\)"),
    "a long number": ("seed: " + "9" * 5_000, "a number of 5,000 digits, at most 100, in .* line 1, column 7"),
    "a long hexadecimal": ("seed: 0x" + "f" * 200_000, "a number of 200,002 digits"),
    "a long base 60": ("seed: 1" + ":59" * 80_000, "a number of 240,001 digits"),
    "a long fraction": ("lr: 0." + "1" * 5_000, "a number of 5,002 digits"),
    "no number": ("seed: !!int abc", "cannot read 'abc' as int"),
    "no boolean": ("seed: !!bool so", "cannot read 'so' as bool"),
    "no month": ("name: 2026-13-45", "cannot read '2026-13-45' as timestamp"),
    "no time": ("name: !!timestamp x", "cannot read 'x' as timestamp"),
    "an order to Python": ("name: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    "a list as a key": ("? [a, b]\n: c", "found unhashable key"),
    "twice": ("{a: 1, b: 2, a: 3}", "key 'a' is written twice, in .* column 14"),
    "twice, otherwise": ("1: a\n1.0: b", "key 1.0 is written twice"),
    "NUL": ("name: a\0b", "#x0000: special characters are not allowed"),
    "ESC": ("name: a\x1b[2J", "#x001b: special characters are not allowed"),
    "half a pair": ('name: "\\ud800"', r"'.ud800' has half a surrogate pair, which is no text, in .* line 1, column 7"),
    "half a pair, raw": ("name: \udcff", "has half a surrogate pair at character 6, which is no text"),
}


@pytest.fixture
def frugal():
    """Fails a test that took 100 MB, or much more of the processor than the second of a slow machine."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_is_one_line_at_once(frugal, text, message):
    with pytest.raises(SpecError, match=message) as refusal:
        parse_yaml(text)

    assert "\n" not in str(refusal.value)


def test_a_file_has_a_size_at_which_it_still_reads_quickly(frugal, tmp_path):
    layouts = ", ".join(["d=64 (attn mlp)x3 conv mlp"] * 7_000)
    study = STUDY.replace("[2, 6]", f"[2, 6], start_with: [{layouts}]")
    path = tmp_path / "study.yaml"
    path.write_text(study + "#" * (MAX_BYTES - len(study)))

    assert len(read_study_file(path).layouts.start_with) == 7_000

    path.write_text(study + "#" * (MAX_BYTES - len(study) + 1))
    with pytest.raises(SpecError, match=r"study\.yaml: cannot be read as text: it has more than 256 kB"):
        read_study_file(path)


@pytest.mark.parametrize(
    "text",
    [
        *(path.read_text() for path in shipped_studies().values()),
        "a: &a {k: 1e-3, l: [.5e1, 0x1f, 017, 1:30, yes, ~, 2026-11-01]}\nb: {<<: *a, k: 2}\nc: [*a, *a]",
        "? |\n  two\n  lines\n: >-\n  folded\n  text\n'a b': \"\\t\\u00e9\\x41\"\n...\n",
        "\ufeffname: first # with a byte order mark\nempty:\ntext: {url: http://a/b#d, colon: 'a: b'}",
        "",
        "a:\n- b\n-   - c\n    - {d: , e}\n-\n",
    ],
)
def test_libyaml_and_the_loader_in_python_read_the_same(text):
    fast, slow = yaml.load(text, Loader=LOADER), yaml.load(text, Loader=PYTHON_LOADER)

    assert repr(fast) == repr(slow)


def test_a_spelling_that_only_the_loader_in_python_knows_is_read():
    assert parse_yaml("{mlp: {}, conv:}") == {"mlp": {}, "conv": None}


@pytest.mark.parametrize("value", ["a\x1b[2J\x07b", "\u202etxt", "\x85\x9b", "\u2028"])
def test_what_is_written_holds_no_control_character_and_reads_back(value):
    text = yaml_text({"name": value})

    assert text.isprintable() or text.rstrip("\n").isprintable()
    assert parse_yaml(text) == {"name": value}
    assert yaml_text({"name": "größer"}) == "name: größer\n"


# ---- files that are none ---------------------------------------------------------------------------------------


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")

    for name, message in (
        ("pipe", "it is a pipe or a device, not a regular file"),
        ("zero", "it is a pipe or a device, not a regular file"),
        ("", "it is a folder, not a regular file"),
        ("gone", "no such file"),
        ("a\0b", "cannot be read as text: embedded null byte"),
        ("x" * 100_000, "cannot be read as text: File name too long"),
    ):
        with pytest.raises(SpecError, match=message):
            read_yaml(tmp_path / name)


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("name: größer".encode("latin1"))

    with pytest.raises(SpecError, match="cannot be read as text: 'utf-8' codec can't decode byte 0xf6 in position 8"):
        read_yaml(Path(tmp_path, "latin.yaml"))


# ---- what stands behind --set ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=" + "9" * 5_000, "--set 'seed=9999.*': a number of 5,000 digits"),
        ("layouts=" + "[" * 5_000, r"--set 'layouts=\[.*': is nested more than 50 deep"),
        ("layouts" + ".a" * 9_999 + "=1", "--set 'layouts.a.*': names a key more than 50 deep"),
        ("curriculum.0=1", "--set 'curriculum.0=1': '0' must be a key of what stands in the list"),
        ("curriculum." + "9" * 5_000 + ".path=x", r"--set 'curriculum.999.*': there is no '999.*…9*'"),
        ("curriculum.0.path=x", None),
    ],
)
def test_an_override_has_the_same_limits(override, message):
    raw = {"data": "not a mapping", "layouts": {}, "curriculum": [{"until": 1}]}

    if message is None:
        apply_overrides(raw, [override])
    else:
        with pytest.raises(SpecError, match=message):
            apply_overrides(raw, [override])
