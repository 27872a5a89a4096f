"""What a preview of a study shows a person."""

import io
from dataclasses import replace
from typing import Any

import pytest

from growlab.bench.estimate import Estimate, estimate, first_trials, in_words, print_table
from growlab.data import load_corpus
from growlab.study.reading import study_from_mapping


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    return Terminal()


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


def test_the_memory_of_a_plan_is_that_of_the_model_that_it_ends_with(tmp_path) -> None:
    (tmp_path / "corpus.txt").write_text("to be or not to be, that is the question. " * 40)
    data = {"path": str(tmp_path / "corpus.txt"), "val_fraction": 0.2}
    train = {"seq_len": 16, "batch_size": 2}
    begun, grown = (study(1, data=data, train=train, growth=growth) for growth in (False, "early-double"))
    final = study(1, data=data, train=train)
    final = replace(final, layouts=replace(final.layouts, start_with=("d=8 (attn)x2",), depth=(2, 2)))
    corpus = load_corpus(begun.data)

    memory = [estimate(first_trials(one, corpus, 1), corpus)[0].memory_bytes for one in (begun, grown, final)]

    assert memory[0] < memory[1] == memory[2]


def test_a_preview_sums_up_the_study() -> None:
    rows = [row(0), row(1)]
    grid = study(6, train={"lr": [1e-3, 1e-2]}, sampler="grid")

    assert in_words(rows, study(2))[0] == "The study's 2 trials, 1.59 TFLOPs, 1 h 10 min one after the other"
    assert in_words(rows, study(4))[0] == (
        "The study's 4 trials, about, as the mean of the 2 shown: 3.17 TFLOPs, 2 h 20 min one after the other"
    )
    assert (
        in_words(rows, grid)[0] == "2 of the 2 cells of sampler grid; what comes after them is searched, and not shown"
    )
