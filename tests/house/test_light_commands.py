"""What must not load torch does not."""

import subprocess
import sys
from pathlib import Path

import pytest

_RUN = """
import sys
sys.argv = ["growlab", *{words!r}]
from growlab.commands import main
try:
    main()
finally:
    loaded = [name for name in {names!r} if name in sys.modules]
    print("loaded:", loaded, file=sys.stderr)
"""


def _loaded(folder: Path, *words: str) -> tuple[int, str]:
    code = _RUN.format(words=words, names=["torch", "optuna"])
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "words",
    [("--help",), ("--version",), ("worker", "--help"), ("study", "--help"), ("doctor", "--help"), ("bench", "--help")],
)
def test_help_loads_neither_torch_nor_optuna(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert _loaded(tmp_path, *words) == (0, "loaded: []")


def test_report_list_and_show_load_neither_torch_nor_optuna(tmp_path: Path, growlab_home: Path) -> None:
    for words in (
        ("report", "tiny"),
        ("report", "tiny", "--format", "table"),
        ("report", "tiny", "--format", "json"),
        ("study", "list"),
        ("study", "show", "tiny"),
        ("db", "check"),
    ):
        assert _loaded(growlab_home, *words) == (0, "loaded: []"), words


def test_groups_of_trials_are_compared_without_torch(tmp_path: Path, growlab_home: Path, finished: None) -> None:
    words = ("report", "tiny", "--group-by", "lr", "--against", "0.003")

    assert _loaded(growlab_home, *words) == (0, "loaded: []")


def test_a_plugin_is_not_imported_where_it_is_not_needed(
    tmp_path: Path, growlab_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy.py").write_text("import torch\n")
    monkeypatch.setenv("GROWLAB_PLUGINS", str(tmp_path / "heavy.py"))

    assert _loaded(growlab_home, "report", "tiny") == (0, "loaded: []")
    assert _loaded(growlab_home, "worker", "nosuch") == (1, "loaded: []")  # the supervisor; its trainer imports it
