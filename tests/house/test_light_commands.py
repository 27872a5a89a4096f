"""What must not load torch does not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

_RUN = """
import sys
from growlab.commands import main
for words in {commands!r}:
    sys.argv = ["growlab", *words]
    try:
        main()
    except SystemExit as leaving:
        loaded = [name for name in ("torch", "optuna") if name in sys.modules]
        print(leaving.code, *loaded, "after", *words, file=sys.stderr)
"""


def _loaded(folder: Path, *commands: tuple[str, ...]) -> list[str]:
    """For each of these commands, run one after the other in one process: its exit code and what is loaded then."""
    code = _RUN.format(commands=commands)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    return re.findall(r"^(.*) after .*$", done.stderr, re.MULTILINE)


def test_help_loads_neither_torch_nor_optuna(tmp_path: Path) -> None:
    asked = [("--help",), ("--version",), *((each, "--help") for each in ("worker", "study", "doctor", "bench"))]

    assert _loaded(tmp_path, *asked) == ["0"] * 6


def test_report_list_and_show_load_neither_torch_nor_optuna(tmp_path: Path, growlab_home: Path) -> None:
    loaded = _loaded(
        growlab_home,
        ("report", "tiny"),
        ("report", "tiny", "--format", "table"),
        ("report", "tiny", "--format", "json"),
        ("study", "list"),
        ("study", "show", "tiny"),
        ("db", "check"),
    )

    assert loaded == ["0"] * 6


def test_groups_of_trials_are_compared_without_torch(tmp_path: Path, growlab_home: Path, finished: None) -> None:
    words = ("report", "tiny", "--group-by", "lr", "--against", "0.003")

    assert _loaded(growlab_home, words) == ["0"]


def test_a_plugin_is_not_imported_where_it_is_not_needed(
    tmp_path: Path, growlab_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy.py").write_text("import torch\n")
    monkeypatch.setenv("GROWLAB_PLUGINS", str(tmp_path / "heavy.py"))

    # the supervisor; its trainer imports it
    assert _loaded(growlab_home, ("report", "tiny"), ("worker", "nosuch")) == ["0", "1"]
