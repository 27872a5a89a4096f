"""What commands print at first: catalogues, previews, completion; on terminals of 80 columns and in pipes."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from growlab import catalogue, plugins
from growlab.bench.estimate import Estimate, in_words, print_table
from growlab.commands import blocks, completion
from growlab.commands.doctor import _advice
from growlab.doors import study_from_mapping
from growlab.report.terminal import wrapped
from growlab.resources import cache_dir


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    return Terminal()


# ---- growlab blocks --------------------------------------------------------------------------------------------


def test_a_text_is_wrapped_at_words_below_where_it_began() -> None:
    assert wrapped("kind  ", "some words and d_model/2", 16) == "kind  some words\n      and\n      d_model/2"
    assert wrapped("", "a-word-that-is-longer-than-a-line", 10) == "a-word-that-is-longer-than-a-line"


def test_blocks_fit_a_terminal_and_lose_no_word(growlab: Callable, monkeypatch: Any, screen: Terminal) -> None:
    piped = growlab("blocks").out
    monkeypatch.setattr("sys.stdout", screen)

    blocks.blocks(plugin=[])

    assert max(map(len, screen.getvalue().splitlines())) <= 80
    assert screen.getvalue().split() == piped.split()


@pytest.fixture
def without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process of its own: what tests before have loaded counts for nothing."""
    monkeypatch.setattr(plugins, "_LOADED", {})


@pytest.mark.usefixtures("without_plugins")
def test_a_catalogue_is_kept_until_the_code_of_the_kinds_changes(growlab: Callable, monkeypatch: Any) -> None:
    first = growlab("blocks", "--json").out
    monkeypatch.setattr(catalogue, "_computed_rows", None)  # an error, if they were computed again

    assert growlab("blocks", "--json").out == first
    assert json.loads(growlab("blocks", "attn", "--json").out)[0] in json.loads(first)
    monkeypatch.setattr(catalogue, "_code_hash", lambda: "other code")
    assert growlab("blocks").code == 1


@pytest.mark.usefixtures("without_plugins")
def test_a_damaged_catalogue_is_made_again(growlab: Callable) -> None:
    first = growlab("blocks", "--json").out
    for path in (cache_dir() / "catalogue").iterdir():
        path.write_text("{")

    assert growlab("blocks", "--json").out == first


def test_an_unknown_kind_names_the_known_ones(growlab: Callable) -> None:
    outcome = growlab("blocks", "atn")

    assert outcome.code == 2
    assert "unknown block kind 'atn'; known: act, attn, " in outcome.err
    assert "Did you mean 'attn'?" in outcome.err


# ---- growlab doctor --------------------------------------------------------------------------------------------


def test_advice_is_wrapped_at_words_and_a_command_in_it_is_one_line() -> None:
    command = "growlab db upgrade --storage sqlite:////a/long/way/to/a/database/growlab.db"

    assert _advice("make room", 80).strip() == "→ make room"
    assert _advice(f"back it up, then run: {command}", 80).splitlines()[1].strip() == command
    assert max(map(len, _advice("words " * 40, 80).splitlines())) <= 80


# ---- growlab study preview -------------------------------------------------------------------------------------


def row(number: int, **params: Any) -> Estimate:
    return Estimate(
        number=number,
        layout="d=64 swa[window=4] attn[n_heads=1] mlp[expand=2.0]",
        params=params,
        n_params=34_000,
        step_flops=529_000_000,
        total_flops=793_000_000_000,
        memory_bytes=15 * 2**20,
        time_s=2100.0,
        measured=number == 0,
    )


def study(n_trials: int, **more: Any) -> Any:
    layouts = {"blocks": ["attn"], "d_model": 8, "depth": 1, "start_with": ["d=8 attn"]}
    raw = {"name": "s", "n_trials": n_trials, "budget": {"steps": 1}, "layouts": layouts, **more}
    return study_from_mapping(raw)


def test_a_preview_has_a_column_for_each_searched_value_that_differs(screen: Terminal) -> None:
    rows = [row(at, **{"train.lr": 0.001 * (at + 1), "growth.patience": 3}) for at in range(3)]

    print_table(rows, screen)

    head, *lines = screen.getvalue().splitlines()
    assert head.split() == ["layout", "lr", "params", "in", "all", "memory", "time"]
    assert "0.002" in screen.getvalue()
    assert "≈ 35 min 00 s" in screen.getvalue()
    assert "no room for a step" in lines[-1]
    assert max(map(len, lines)) <= 80


def test_a_preview_sums_up_the_study() -> None:
    rows = [row(0), row(1)]
    grid = study(6, train={"lr": [1e-3, 1e-2]}, sampler={"grid": True})

    assert in_words(rows, study(2))[0] == "The study's 2 trials, 1.59 TFLOPs, 1 h 10 min one after the other"
    assert in_words(rows, study(4))[0] == (
        "The study's 4 trials, about, as the mean of the 2 shown: 3.17 TFLOPs, 2 h 20 min one after the other"
    )
    assert (
        in_words(rows, grid)[0] == "2 of the 2 cells of sampler.grid; what comes after them is searched, and not shown"
    )


def test_a_preview_in_a_pipe_is_tsv_and_of_a_grid_its_cells(growlab: Callable, home: Path) -> None:
    text = (home / "tiny.yaml").read_text().replace("{low: 1e-3, high: 1e-2, log: true}", "[1e-3, 1e-2]")
    text = text.replace("depth: [2, 4]", "depth: 2\n  start_with: [d=16 conv]").replace("n_trials: 2", "n_trials: 30")
    (home / "grid.yaml").write_text(text + "sampler: {grid: true}\n")

    outcome = growlab("study", "preview", "grid.yaml")

    rows = list(csv.DictReader(io.StringIO(outcome.out), delimiter="\t"))
    assert [(each["layout"], each["train.lr"]) for each in rows] == [
        ("d=16 conv", "0.001"),
        ("d=16 conv", "0.01"),
    ]
    assert int(rows[0]["total_flops"]) == 40 * int(rows[0]["step_flops"])
    assert "2 of the 2 cells of sampler.grid" in outcome.err


# ---- completion ------------------------------------------------------------------------------------------------


def test_names_of_studies_and_kinds_are_completed(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml")
    here, elsewhere = SimpleNamespace(params={}), SimpleNamespace(params={"storage": "sqlite:///none.db"})

    assert completion.stored_studies(here, "ti") == ["tiny"]  # type: ignore[arg-type]
    assert completion.stored_studies(elsewhere, "ti") == []  # type: ignore[arg-type]
    assert "tiny_shakespeare" in completion.any_study(here, "ti")  # type: ignore[arg-type]
    assert completion.kinds("mam") == ["mamba", "mamba2"]


def test_a_shell_is_answered(home: Path) -> None:
    program = "import sys; sys.argv[0] = 'growlab'; from growlab.commands import main; main()"
    asked = {"COMP_WORDS": "growlab study run quick", "COMP_CWORD": "3", "_GROWLAB_COMPLETE": "complete_bash"}

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **asked},
        cwd=home,
    )

    assert done.stdout.split() == ["quickstart"]
