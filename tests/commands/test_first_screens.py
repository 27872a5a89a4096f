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
from growlab.commands import blocks, completion
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


# ---- growlab study preview -------------------------------------------------------------------------------------


def test_a_preview_in_a_pipe_is_tsv_and_of_a_grid_its_cells(growlab: Callable, home: Path) -> None:
    text = (home / "tiny.yaml").read_text().replace("{low: 1e-3, high: 1e-2, log: true}", "[1e-3, 1e-2]")
    text = text.replace("depth: [2, 4]", "depth: 2\n  start_with: [d=16 conv]").replace("n_trials: 2", "n_trials: 30")
    (home / "grid.yaml").write_text(text + "sampler: grid\n")

    outcome = growlab("study", "preview", "grid.yaml")

    rows = list(csv.DictReader(io.StringIO(outcome.out), delimiter="\t"))
    assert [(each["layout"], each["train.lr"]) for each in rows] == [
        ("d=16 conv", "0.001"),
        ("d=16 conv", "0.01"),
    ]
    assert int(rows[0]["total_flops"]) == 40 * int(rows[0]["step_flops"])
    assert "2 of the 2 cells of sampler grid" in outcome.err


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
