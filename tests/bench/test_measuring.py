"""Real steps of tiny models, measured; what follows from the measurements is arithmetic."""

import gc
import io
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from growlab.bench.benchmark import bench_layouts
from growlab.bench.measure import time_run
from growlab.bench.roofline import Roofline, copy_rate, matmul_dtype, matmul_rate
from growlab.bench.rows import Report, Row, evaluations_of, require_measured, trial_seconds, trials_per_hour
from growlab.bench.subjects import Sizes, kind_subjects, layout_subjects
from growlab.bench.survey import Surveyor, survey
from growlab.bench.table import per_second, plain, print_tables
from growlab.data import load_corpus
from growlab.errors import GrowlabError
from growlab.kinds import KINDS
from growlab.layout import parse
from growlab.model.cost import count_params, fewest_bytes, steps_of
from growlab.plugins import load_plugins
from growlab.specs import BudgetSpec
from growlab.training.run import TrialRun, fresh_run

LAYOUT = "d=16 conv mlp"
CPU = torch.device("cpu")

GREEDY = """
import torch
from growlab.blocks import Mixer
from growlab.kinds import Cost, register_block
from growlab.blocks.mlp import MlpOptions

def greedy_cost(d_model, options, seq_len):
    return Cost(n_params=d_model**2, matmul_flops=1, other_flops=0, activations=1, state_size=0)

@register_block("greedy", role="channel", summary="wants all memory", options=MlpOptions, cost=greedy_cost)
class Greedy(Mixer):
    def __init__(self, d_model, options):
        super().__init__(d_model, options)
        self.out_proj = torch.nn.Linear(d_model, d_model, bias=False)

    def forward(self, x_BTD):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
"""


@pytest.fixture(autouse=True)
def _kinds_as_before() -> Iterator[None]:
    load_plugins()
    before = dict(KINDS)
    yield
    KINDS.reset(before)


@pytest.fixture
def bench(home: Path, small_roofline: None) -> Callable[..., Report]:
    """The report of layouts that are measured with a plugin, in one step of two short sequences."""

    def measured(layouts: list[str], plugin: Path) -> Report:
        sizes = {"d_model": None, "depth": None, "batch_size": 2, "seq_len": 16}
        how: dict[str, Any] = {"n_steps": 1, "n_rounds": 3, "device": "cpu", "threads": 0, "tell": print}
        return bench_layouts(layouts, sizes, plugins=[plugin], **how)

    return measured


# ---- what goes wrong ---------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_a_row_that_says_so_and_the_next_goes_on(bench: Callable, home: Path) -> None:
    (home / "greedy.py").write_text(GREEDY)

    report = bench(["d=16 greedy", LAYOUT], home / "greedy.py")

    greedy, other = report.rows
    require_measured(report)
    assert (greedy.error, greedy.ms_per_step, greedy.roofline_share) == ("out of memory", None, None)
    assert other.error == ""
    assert other.ms_per_step > 0


def test_the_model_of_a_failed_subject_is_gone_before_the_next_is_built(
    home: Path, small_roofline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what comes after a model that is too large fails for what that one holds."""
    (home / "greedy.py").write_text(GREEDY)
    load_plugins([home / "greedy.py"])
    sizes = Sizes(d_model=16, depth=2, batch_size=2, seq_len=8)
    subjects = layout_subjects(["d=16 greedy", LAYOUT], sizes)
    corpus = load_corpus(subjects[0].spec.data)
    built: list[weakref.ref[TrialRun]] = []
    alive: list[int] = []

    def watched(*given: Any) -> TrialRun:
        alive.append(sum(each() is not None for each in built))
        run = fresh_run(*given)
        built.append(weakref.ref(run))
        return run

    monkeypatch.setattr("growlab.bench.measure.fresh_run", watched)
    gc.disable()  # nobody collects by chance
    try:
        survey(subjects, corpus, CPU, settings={}, n_steps=1, n_rounds=1, estimates_trials=False, tell=print)
    finally:
        gc.enable()

    assert alive == [0, 0, 0]


def test_what_raises_is_a_row_with_its_first_line_and_an_error_after_all_others(bench: Callable, home: Path) -> None:
    raises = 'raise ZeroDivisionError("boom\\nsecond line")'
    (home / "broken.py").write_text(
        GREEDY.replace('raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")', raises)
    )

    report = bench(["d=16 greedy", LAYOUT], home / "broken.py")

    broken, other = report.rows
    with pytest.raises(GrowlabError, match="1 of 2 could not be measured: d=16 greedy: ZeroDivisionError: boom; "):
        require_measured(report)
    assert (broken.error, broken.ms_per_step) == ("ZeroDivisionError: boom", None)
    assert other.ms_per_step > 0


# ---- what is measured --------------------------------------------------------------------------------------------


def test_each_kind_is_measured_in_a_model_of_the_asked_depth(documented_kinds: None) -> None:
    subjects = kind_subjects(Sizes(d_model=16, depth=4, batch_size=2, seq_len=8))

    layouts = {each.what: str(each.layout) for each in subjects}
    assert layouts["attn"] == "d=16 (attn mlp)x2"
    assert layouts["mlp"] == "d=16 (mlp)x4"
    assert layouts["shift"] == "d=16 (shift mlp)x2"
    assert all(parse(layout).depth == 4 for layout in layouts.values())


def test_a_channel_kind_of_a_plugin_stands_after_attention(home: Path) -> None:
    (home / "greedy.py").write_text(GREEDY)
    load_plugins([home / "greedy.py"])

    subjects = kind_subjects(Sizes(d_model=16, depth=2, batch_size=2, seq_len=8))

    assert [str(each.layout) for each in subjects if each.what == "greedy"] == ["d=16 attn greedy"]


def test_a_timing_has_one_figure_per_round_and_goes_on_beyond_the_budget() -> None:
    (subject, *_) = kind_subjects(Sizes(d_model=16, depth=2, batch_size=2, seq_len=8))
    spec = replace(subject.spec, budget=BudgetSpec(unit="steps", amount=1))
    corpus = load_corpus(spec.data)

    timing = time_run(spec, corpus, CPU, n_steps=2, n_rounds=3)

    assert len(timing.step_s) == 3
    assert min(timing.step_s) > 0 < timing.start_s
    assert timing.eval_s is None
    assert timing.n_params == count_params(subject.layout, corpus.tokenizer.vocab_size)


def test_rates_are_work_over_time() -> None:
    assert 1e6 < matmul_rate(torch.float32, CPU, side=64) < 1e15
    assert 1e6 < copy_rate(CPU, n_bytes=2**16) < 1e15


def test_the_roofline_multiplies_in_the_precision_of_training() -> None:
    assert matmul_dtype("auto", CPU) is torch.float32
    assert matmul_dtype("fp32", CPU) is torch.float32
    assert matmul_dtype("bf16", CPU) is torch.bfloat16


def test_a_row_in_another_precision_than_the_roofline_has_no_share() -> None:
    subjects = kind_subjects(Sizes(d_model=16, depth=2, batch_size=2, seq_len=8))[:1]
    roofline = Roofline(flops_per_s=1e9, bytes_per_s=1e9, precision="bf16")
    corpus = load_corpus(subjects[0].spec.data)

    (row,) = Surveyor(
        corpus=corpus, device=CPU, roofline=roofline, n_steps=1, n_rounds=1, estimates_trials=False, tell=print
    ).rows(subjects)

    assert row.precision == "fp32"
    assert (row.roofline_share, row.roofline_bound) == (None, "")


# ---- what follows without measuring ------------------------------------------------------------------------------


def test_the_floor_of_a_step_is_the_longer_of_computing_and_moving() -> None:
    roofline = Roofline(flops_per_s=100.0, bytes_per_s=10.0, precision="fp32")

    assert (roofline.floor_s(200, 10), roofline.bound(200, 10)) == (2.0, "compute")
    assert (roofline.floor_s(200, 30), roofline.bound(200, 30)) == (3.0, "memory")


def test_a_budget_is_spent_after_so_many_steps_and_evaluations() -> None:
    assert steps_of(BudgetSpec(unit="steps", amount=7), 32, 1000) == 7
    assert steps_of(BudgetSpec(unit="tokens", amount=65), 32, 1000) == 3
    assert steps_of(BudgetSpec(unit="flops", amount=2000), 32, 1000) == 2
    assert [evaluations_of(n, 10) for n in (1, 10, 11)] == [1, 1, 2]


def test_the_start_holds_the_first_steps_of_a_trial() -> None:
    figures = {"start_s": 3.0, "start_steps": 5, "step_s": 0.5, "eval_s": 2.0, "n_evals": 2}

    assert trial_seconds(n_steps=9, **figures) == 3.0 + 4 * 0.5 + 2 * 2.0
    assert trial_seconds(n_steps=2, **figures) == 3.0 + 2 * 2.0
    assert trials_per_hour([10.0, 30.0]) == 180.0


def test_without_sequences_a_step_moves_weights_gradients_and_two_moments_there_and_back() -> None:
    layout = parse("d=16 (attn mlp)x2")

    moved = fewest_bytes(layout, 11, seq_len=9, batch_size=0, bytes_per_activation=4)

    assert moved == 2 * 4 * 4 * count_params(layout, 11)


def test_activations_move_in_proportion_to_their_number_and_size() -> None:
    layout = parse("d=16 attn mlp")

    def of_activations(batch_size: int, size: int) -> int:
        return fewest_bytes(layout, 11, 9, batch_size, bytes_per_activation=size) - fewest_bytes(
            layout, 11, 9, 0, bytes_per_activation=size
        )

    assert of_activations(6, 4) == 3 * of_activations(2, 4) == 6 * of_activations(2, 2) > 0


def test_figures_have_three_digits_and_no_exponent() -> None:
    assert [plain(each) for each in (0.0612, 6.12, 99.96, 612.4, 61234.0)] == [
        "0.0612",
        "6.12",
        "100",
        "612",
        "61234",
    ]
    assert [per_second(each, "B/s") for each in (999.0, 1500.0, 3.2e12)] == ["999 B/s", "1.5 kB/s", "3.2 TB/s"]


def test_a_row_that_failed_is_in_both_tables_with_its_reason() -> None:
    stream = io.StringIO()
    known = {"layout": LAYOUT, "batch_size": 2, "seq_len": 8, "n_params": 950}
    report = Report(
        device={"device": "cpu", "name": "a CPU", "threads": 2},
        versions={},
        roofline=Roofline(flops_per_s=1.5e11, bytes_per_s=1.1e10, precision="fp32"),
        settings={},
        rows=[Row(what="trial 0", trial_s=30.0, **known), Row(what="trial 1", error="out of memory", **known)],
    )

    print_tables(report, stream)

    out = stream.getvalue()
    assert out.startswith("cpu, a CPU, 2 threads; at best 150 GFLOP/s in fp32, 11 GB/s\n")
    assert out.count("out of memory") == 2
    assert "about 120 trials per hour: the mean of 1 is 30 s" in out
