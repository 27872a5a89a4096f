"""What growlab doctor prints; what it finds is tested with the checks."""

import io
import json
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from growlab.commands import main
from growlab.commands.doctor import _advice


@pytest.fixture
def cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GROWLAB_CACHE", str(home / "cache"))
    return home / "cache"


def test_a_pipe_gets_plain_aligned_lines_that_are_not_cut(growlab: Callable, cache: Path) -> None:
    outcome = growlab("doctor", "--storage", "postgresql://127.0.0.1:1/growlab")

    lines = outcome.out.splitlines()
    assert outcome.code == 1
    assert "\x1b" not in outcome.out
    assert "versions" in lines
    assert all(re.match(r"\w|  [✓!✗] \S.{17}\S| {22}→ ", line) for line in lines)
    assert max(map(len, lines)) > 120
    assert re.fullmatch(r"1 broken, (nothing|\d+) to look at", lines[-1])


def test_json_has_every_finding_and_the_exit_code_says_whether_one_is_broken(growlab: Callable, cache: Path) -> None:
    fine = growlab("doctor", "tiny.yaml", "--json")
    broken = growlab("doctor", "--json", "--storage", "growlab.db", "--artifacts", "corpus.txt")

    findings = {finding["name"]: finding for finding in json.loads(broken.out)}
    assert (fine.code, fine.err) == (0, "")
    assert json.loads(fine.out)[-1]["area"] == "study"
    assert (broken.code, broken.err) == (1, "")
    assert list(findings["URL"]) == ["area", "name", "status", "found", "advice"]
    assert findings["artifacts"]["status"] == "broken"


def test_a_terminal_without_check_marks_gets_question_marks(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, errors = io.TextIOWrapper(io.BytesIO(), encoding="ascii"), io.StringIO()
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setattr(sys, "argv", ["growlab", "doctor"])

    with pytest.raises(SystemExit), redirect_stdout(screen), redirect_stderr(errors):
        main()

    screen.seek(0)
    assert "? Python" in screen.read()
    assert errors.getvalue() == ""


def test_advice_is_wrapped_at_words_and_a_command_in_it_is_one_line() -> None:
    command = "growlab db upgrade --storage sqlite:////a/long/way/to/a/database/growlab.db"

    assert _advice("make room", 80).strip() == "→ make room"
    assert _advice(f"back it up, then run: {command}", 80).splitlines()[1].strip() == command
    assert max(map(len, _advice("words " * 40, 80).splitlines())) <= 80
