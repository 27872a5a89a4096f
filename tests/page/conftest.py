import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from growlab import api
from growlab.commands import main
from growlab.notebook import LoadedStudy


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, furnish: Callable, play: Callable[..., str]) -> Path:
    """A folder with a database that holds the played study `tiny`."""
    folder = tmp_path_factory.mktemp("played")
    furnish(folder)
    play(folder)
    return folder


@pytest.fixture(scope="module")
def study(played: Path) -> LoadedStudy:
    return api.load_study(f"sqlite:///{played / 'growlab.db'}", "tiny", tell=lambda _: None)


@pytest.fixture
def run() -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process: its exit code, what it prints, what it says."""

    def call(*words: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["growlab", *words])
            with pytest.raises(SystemExit) as leaving:
                main()
        return int(leaving.value.code or 0), out.getvalue(), err.getvalue()

    return call
