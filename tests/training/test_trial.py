"""Whole trials, and whether what they report is what happened."""

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from growlab.data.batches import training_batch
from growlab.data.corpus import Corpus, load_corpus
from growlab.errors import DataError
from growlab.growth.moment import Moment
from growlab.growth.triggers.stagnation import Stagnation
from growlab.kinds import complete
from growlab.layout import Layout, parse
from growlab.model.cost import TrainedUnit, count_params, training_flops
from growlab.recipes import TRIGGERS
from growlab.records import GrowthEvent, Metric, TrajectoryPoint, TrialState
from growlab.scalar import with_defaults
from growlab.specs import DataSpec, TrialSpec
from growlab.training.reporting import FINITE_EVERY, TRAIN_ROWS, is_row, steps_between_rows
from growlab.training.result import executed
from growlab.training.run import fresh_run
from growlab.training.schedule import lr_at

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[[TrialSpec], Any]  # a Trial, see conftest


@pytest.fixture(scope="module")
def grown(make_spec: MakeSpec, new_trial: NewTrial) -> Any:
    """A finished trial that grew at steps 15 and 30."""
    trial = new_trial(make_spec())
    trial.attempt()
    return trial


def metric(trial: Any, split: str, name: str) -> dict[int, float]:
    """Step to value."""
    facts = trial.recorder.facts
    return {
        each.step: each.value for each in facts if isinstance(each, Metric) and (each.split, each.name) == (split, name)
    }


def means(trial: Any) -> dict[int, TrajectoryPoint]:
    """Step to the mean over the newest unit's tensors, which comes before those of other units."""
    seen: dict[int, TrajectoryPoint] = {}
    for fact in trial.recorder.facts:
        if isinstance(fact, TrajectoryPoint) and fact.tensor == "":
            seen.setdefault(fact.step, fact)
    return seen


def test_a_trial_whose_steps_are_not_compiled_never_loads_the_compiler(
    make_spec: MakeSpec, new_trial: NewTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes two seconds of each process."""
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import of it raises

    trial = new_trial(make_spec(steps=20))
    trial.attempt(stop_at=17)
    trial.attempt()

    assert len(trial.recorder.growths) == 1
    assert trial.recorder.result.state is TrialState.COMPLETED


# ---- the result ------------------------------------------------------------------------------------------------


def test_a_small_trial_learns(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = new_trial(make_spec(layout="d=32 attn[n_heads=2] mlp", lr=0.01, trigger="never", steps=120))

    result = trial.attempt()

    assert result.state is TrialState.COMPLETED
    assert result.val_loss < 0.5 * math.log(trial.corpus.tokenizer.vocab_size)
    assert result.error == ""


def test_the_result_says_where_the_trial_ended(grown: Any) -> None:
    result, corpus = grown.recorder.result, grown.corpus

    assert (result.layout_end, result.depth_end) == ("d=16 (attn[n_heads=2] mlp)x3", 6)
    assert result.n_params == count_params(complete(parse(result.layout_end)), corpus.tokenizer.vocab_size)
    assert (result.steps, result.tokens) == (45, 45 * 4 * 16)
    assert result.val_loss == metric(grown, "val", "loss")[45]
    assert result.best_val_loss == min(metric(grown, "val", "loss").values())
    assert result.elapsed_s > 0
    assert result.engine == "eager"


def test_the_result_names_kernels_that_stepped_back(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = {("swiglu", "cuda:0"): "it fails", ("gated_scan", "cuda:0"): "it fails", ("rms_norm", "cuda:0"): ""}
    monkeypatch.setattr("growlab.kernels.door._reasons", closed)

    assert executed("graph") == "graph, without kernels of gated_scan, swiglu"


def test_bits_per_byte_is_the_loss_over_the_bytes_of_the_text(grown: Any) -> None:
    result, corpus = grown.recorder.result, grown.corpus
    predicted = corpus.tokenizer.decode(corpus.val[1:])
    n_bytes = len(predicted.encode())

    assert n_bytes > len(predicted)  # the text is not ASCII
    assert result.bits_per_byte == pytest.approx(result.val_loss * len(predicted) / math.log(2) / n_bytes, rel=1e-12)
    assert metric(grown, "val", "bits_per_byte")[45] == result.bits_per_byte


def test_flops_are_those_of_every_step_and_of_the_telemetry(grown: Any) -> None:
    vocab_size = grown.corpus.tokenizer.vocab_size
    blocks = complete(parse(grown.spec.layout)).blocks

    def steps(*frozen: bool) -> int:
        units = [TrainedUnit(blocks=blocks, frozen=each) for each in frozen]
        return training_flops(units, Layout(16, ()), vocab_size, 16, 4, rest_frozen=any(frozen))

    training = (
        15 * steps(False)
        + 4 * steps(True, False)  # the warm-up after step 15
        + 11 * steps(False, False)
        + 4 * steps(True, True, False)  # the warm-up after step 30
        + 11 * steps(False, False, False)
    )
    in_unit = count_params(complete(parse(grown.spec.layout)), vocab_size) - 16 - 16 * vocab_size
    # thrice five snapshots, at most three increments, of one unit, two and three: small enough to be sketched whole
    telemetry = (1 + 2 + 3) * in_unit * (0 + 3 + 5 + 7 + 7)
    assert grown.recorder.result.flops == training + telemetry
    assert metric(grown, "train", "flops")[45] == training + telemetry


def test_the_sample_goes_on_from_the_first_validation_tokens(
    make_spec: MakeSpec, new_trial: NewTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growlab.training.sample.LENGTH", 50)
    trial = new_trial(make_spec(steps=3))

    result = trial.attempt()

    tokenizer = trial.corpus.tokenizer
    assert len(result.sample) == 16 + 50
    assert result.sample.startswith(tokenizer.decode(trial.corpus.val[:16]))
    assert set(result.sample) <= set(tokenizer.alphabet)


def test_the_last_evaluation_is_at_the_end_although_none_is_due(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = new_trial(make_spec(trigger="never", steps=13, eval_every=5))

    trial.attempt()

    assert list(metric(trial, "val", "loss")) == [5, 10, 13]


# ---- facts -----------------------------------------------------------------------------------------------------


ROW = [("train", name) for name in ("loss", "lr", "grad_norm", "tokens_per_s", "flops", "tokens")]


def test_every_evaluation_tells_the_same_eight_numbers(grown: Any) -> None:
    at_snapshots = ("pause_s", "back_test")
    told = [each for each in grown.recorder.facts if isinstance(each, Metric) and each.name not in at_snapshots]

    assert {each.step for each in told} == set(range(5, 46, 5))
    assert [(each.split, each.name) for each in told if each.step == 20] == [
        *ROW,
        ("val", "loss"),
        ("val", "bits_per_byte"),
    ]
    assert metric(grown, "train", "tokens")[20] == 20 * 4 * 16


@pytest.fixture(scope="module")
def seldom_evaluated(make_spec: MakeSpec, new_trial: NewTrial) -> Any:
    trial = new_trial(make_spec(trigger="never", steps=25, eval_every=500, grad_clip=0.1, warmup_fraction=0.5))
    trial.attempt()
    return trial


def test_between_evaluations_training_is_told_on_a_clock_of_its_own(seldom_evaluated: Any) -> None:
    told = [each for each in seldom_evaluated.recorder.facts if isinstance(each, Metric)]
    by_step = {step: [(each.split, each.name) for each in told if each.step == step] for step in (10, 20)}

    assert by_step == {10: ROW, 20: ROW}
    assert {each.step for each in told} == {10, 20, 25}
    assert metric(seldom_evaluated, "train", "tokens") == {step: step * 4 * 16 for step in (10, 20, 25)}
    assert all(speed > 0 for speed in metric(seldom_evaluated, "train", "tokens_per_s").values())


def test_a_row_has_the_mean_loss_since_the_one_before_and_lr_and_gradient_norm_of_its_step(
    seldom_evaluated: Any, corpus: Corpus
) -> None:
    spec, seen, norms, rates = seldom_evaluated.spec, [], [], []
    run = fresh_run(spec, corpus, torch.device("cpu"))
    for step in range(20):
        batch = training_batch(corpus.train, 16, 4, spec.seed, step)
        loss, _ = run.model.objective(*batch)
        gradients = torch.autograd.grad(loss, list(run.model.parameters()))
        norms.append(torch.cat([each.flatten() for each in gradients]).norm().item())
        rates.append(lr_at(run.progress, spec.train))
        seen.append(loss.item())
        run.train_step()

    for step in (10, 20):
        assert metric(seldom_evaluated, "train", "loss")[step] == pytest.approx(sum(seen[step - 10 : step]) / 10)
        assert metric(seldom_evaluated, "train", "grad_norm")[step] == pytest.approx(norms[step - 1], rel=1e-4)
        assert metric(seldom_evaluated, "train", "lr")[step] == rates[step - 1]
    assert norms[9] > 2 * spec.train.grad_clip


@pytest.mark.parametrize("n_steps", [1, 300, 2000, 2001, 10**4, 10**7])
def test_the_rows_of_a_trial_are_bounded_whatever_its_length(n_steps: int) -> None:
    every = steps_between_rows(n_steps)

    assert every % FINITE_EVERY == 0
    assert n_steps // every <= TRAIN_ROWS
    assert n_steps < 2000 or n_steps // every >= TRAIN_ROWS // 2


def test_the_first_rows_come_early_and_the_others_evenly() -> None:
    every = steps_between_rows(50_000)

    assert [step for step in range(1_000) if is_row(step, every)] == [0, 10, 20, 40, 80, 160, 250, 500, 750]


@pytest.mark.parametrize("stops", [(7,), (10, 19), (23,)])
def test_an_interrupted_trial_tells_the_same_rows(
    seldom_evaluated: Any, new_trial: NewTrial, stops: tuple[int, ...]
) -> None:
    trial = new_trial(seldom_evaluated.spec)

    for stop in stops:
        trial.attempt(stop_at=stop)
    trial.attempt()

    assert trial.recorder.timeless == seldom_evaluated.recorder.timeless


def test_every_evaluation_of_a_synthetic_task_tells_the_share_of_right_answers(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    data = with_defaults(DataSpec, source="recall", tokenizer="ids", vocab_size=7, n_items=1)
    spec = make_spec(layout="d=16 conv mlp", trigger="never", steps=60, eval_every=20, lr=0.03)
    trial = new_trial(replace(spec, data=data))
    trial.corpus = load_corpus(data)

    trial.attempt()

    accuracy = metric(trial, "val", "accuracy")
    assert list(accuracy) == list(metric(trial, "val", "loss")) == [20, 40, 60]
    assert all((256 * share).is_integer() for share in accuracy.values())


def test_no_number_depends_on_the_test_split(
    grown: Any, make_spec: MakeSpec, new_trial: NewTrial, corpus: Corpus
) -> None:
    trial = new_trial(make_spec())
    trial.corpus = replace(corpus, test=corpus.test[::-1])

    trial.attempt()

    assert corpus.test.size > 100
    assert trial.recorder.timeless == grown.recorder.timeless
    assert replace(trial.recorder.result, elapsed_s=0.0) == replace(grown.recorder.result, elapsed_s=0.0)


def test_a_growth_event_tells_what_growth_did(grown: Any) -> None:
    first, second = grown.recorder.growths
    n_params = [
        count_params(complete(parse(f"d=16 (attn[n_heads=2] mlp)x{n}")), grown.corpus.tokenizer.vocab_size)
        for n in (2, 3)
    ]

    assert [(each.step, each.position, each.depth_before, each.depth_after) for each in (first, second)] == [
        (15, 1, 2, 4),
        (30, 2, 4, 6),
    ]
    assert {(each.unit, each.operator, each.reason) for each in (first, second)} == {
        ("attn[n_heads=2] mlp", "aiether", "stagnation")
    }
    assert [each.n_params_after for each in (first, second)] == n_params


def test_a_growth_event_has_the_loss_before_and_after(grown: Any, make_spec: MakeSpec, new_trial: NewTrial) -> None:
    jumping = new_trial(make_spec(entry_scale=1.0, operator="copy-last", steps=20, lr=0.01))
    jumping.attempt()

    [jump] = jumping.recorder.growths
    for event in grown.recorder.growths:
        assert event.val_loss_before == metric(grown, "val", "loss")[event.step]
        assert event.val_loss_after == pytest.approx(event.val_loss_before, abs=1e-6)
    assert jump.val_loss_before == metric(jumping, "val", "loss")[jump.step]
    assert abs(jump.val_loss_after - jump.val_loss_before) > 1e-3


def test_a_growth_event_has_the_tau_and_kappa_that_were_reported_last(grown: Any) -> None:
    for event in grown.recorder.growths:
        newest = max(step for step in means(grown) if step <= event.step)
        assert (event.tau, event.kappa) == (means(grown)[newest].tau, means(grown)[newest].kappa)


def test_the_newest_unit_is_watched_from_an_empty_window_on(grown: Any) -> None:
    seen = {step: (point.unit, point.n_increments) for step, point in means(grown).items()}

    assert seen == {
        **{9: (0, 2), 12: (0, 3), 15: (0, 3)},
        **{24: (1, 2), 27: (1, 3), 30: (1, 3)},
        **{39: (2, 2), 42: (2, 3), 45: (2, 3)},
    }


def test_every_tensor_of_the_watched_unit_is_reported(grown: Any) -> None:
    points = [each for each in grown.recorder.facts if isinstance(each, TrajectoryPoint) and each.step == 24]

    assert {(point.unit, point.tensor) for point in points if point.unit != 1} == {(0, "")}  # of others the mean
    assert [point.tensor for point in points if point.unit == 1] == [
        "",
        *("0.norm.weight", "0.mixer.qkv.weight", "0.mixer.out_proj.weight"),
        *("1.norm.weight", "1.mixer.in_proj.weight", "1.mixer.out_proj.weight"),
    ]


def test_a_trial_that_never_grows_takes_no_snapshots(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = new_trial(make_spec(trigger="never", steps=20))

    result = trial.attempt()

    assert {type(fact) for fact in trial.recorder.facts} == {Metric}
    units = [TrainedUnit(blocks=complete(parse(trial.spec.layout)).blocks, frozen=False)]
    per_step = training_flops(units, Layout(16, ()), trial.corpus.tokenizer.vocab_size, 16, 4, rest_frozen=False)
    assert result.flops == 20 * per_step


def moment(step: int, val_loss: float, path: TrajectoryPoint | None) -> Moment:
    return Moment(step=step, progress=0.5, flops=0, train_loss=val_loss, val_loss=val_loss, path=path)


@pytest.mark.parametrize(
    "growth",
    [
        {"threshold": 0.04, "patience": 1, "freeze_steps": 0, "cooldown_steps": 0, "max_depth": 8},
        {"threshold": 0.06, "tau_crit": 1.16, "patience": 1, "warmup_steps": 30},
        {"threshold": 0.08, "kappa_crit": 0.6, "patience": 2, "freeze_steps": 3, "cooldown_steps": 9},
    ],
    ids=["by the loss", "by tau", "by kappa"],
)
def test_what_is_reported_is_what_acted(make_spec: MakeSpec, new_trial: NewTrial, growth: dict[str, Any]) -> None:
    """The rule, replayed from the recorded rows alone, asks for growth at the very steps at which it happened."""
    trial = new_trial(make_spec(lr=0.01, steps=90, eval_every=3, **growth))
    trial.attempt()
    spec, points, replayed = trial.spec.growth, means(trial), []

    options = TRIGGERS["stagnation"].read(spec.trigger.options)
    trigger, depth, watching_since, checks_from = Stagnation(options), 2, 0, 0
    for step, val_loss in metric(trial, "val", "loss").items():
        if step < checks_from or depth + 2 > spec.max_depth:
            trigger.look(moment(step, val_loss, None))
            continue
        seen = [points[at] for at in points if watching_since < at <= step]
        if trigger.check(moment(step, val_loss, seen[-1] if seen else None)) and step < 90:
            replayed.append(step)
            trigger.forget()
            depth, watching_since, checks_from = depth + 2, step, step + spec.freeze_steps + spec.cooldown_steps

    assert replayed == [event.step for event in trial.recorder.growths]
    assert replayed


# ---- other ends ------------------------------------------------------------------------------------------------


def test_a_diverging_trial_ends_with_its_last_finite_losses_and_without_a_model(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    trial = new_trial(make_spec(trigger="never", lr=1e6, warmup_fraction=0.0, eval_every=1, steps=1000))

    result = trial.attempt()

    finite = [value for value in metric(trial, "val", "loss").values() if math.isfinite(value)]
    assert result.state is TrialState.DIVERGED
    assert result.error == f"the loss was no longer a finite number at step {result.steps}"
    assert result.steps < 1000
    assert (result.val_loss, result.best_val_loss) == (finite[-1], min(finite))
    assert (result.sample, trial.recorder.artifacts) == ("", [])
    assert not [path for path in trial.root.rglob("*") if path.is_file()]


def test_a_trial_that_diverges_between_evaluations_ends_within_ten_steps(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    result = new_trial(make_spec(trigger="never", lr=1e6, warmup_fraction=0.0, eval_every=500, steps=1000)).attempt()

    assert (result.state, result.steps % 10) == (TrialState.DIVERGED, 0)
    assert result.steps <= 30
    assert (result.val_loss, result.best_val_loss, result.bits_per_byte) == (None, None, None)


def test_a_trial_that_is_asked_to_stop_has_no_result_and_can_go_on(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = new_trial(make_spec(steps=20))

    stopped = trial.attempt(stop_at=8)
    committed = trial.recorder.committed
    result = trial.attempt()

    assert stopped is None
    assert (committed.kind, committed.step) == ("checkpoint", 8)
    assert (result.state, result.steps) == (TrialState.COMPLETED, 20)


def test_a_text_that_is_too_short_is_refused_before_anything_is_written(
    make_spec: MakeSpec, new_trial: NewTrial, tmp_path: Path
) -> None:
    path = tmp_path / "short.txt"
    path.write_text("to be or not to be " * 10)
    trial = new_trial(make_spec())
    trial.corpus = load_corpus(with_defaults(DataSpec, path=str(path), val_fraction=0.05, test_fraction=0))

    with pytest.raises(DataError, match=r"the val split has 10 tokens, train.seq_len 16 needs at least 17"):
        trial.attempt()

    assert list(trial.root.iterdir()) == []


# ---- glimpses and checkpoints on the way -----------------------------------------------------------------------


def test_the_display_is_told_where_the_trial_stands(
    make_spec: MakeSpec, new_trial: NewTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growlab.training.reporting.PROGRESS_EVERY_S", 0.0)
    trial = new_trial(make_spec(steps=20))

    trial.attempt()

    glimpses = {each.step: each for each in trial.recorder.glimpses}
    assert list(glimpses) == list(range(1, 21))
    assert [glimpses[step].phase for step in (14, 15, 18, 19)] == ["train", "warm-up", "warm-up", "cool-down"]
    assert [glimpses[step].depth for step in (14, 15)] == [2, 4]
    assert glimpses[20].progress == 1.0
    assert (glimpses[3].val_loss, glimpses[3].tau) == (None, None)
    assert glimpses[12].val_loss == metric(trial, "val", "loss")[10]
    assert glimpses[12].tau == means(trial)[12].tau
    assert all(each.tokens_per_s > 0 for each in glimpses.values())


def test_checkpoints_take_no_more_than_their_share_of_the_time(
    make_spec: MakeSpec, new_trial: NewTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growlab.training.saving.CHECKPOINT_SHARE", 1e-9)  # the first one uses it up for years
    trial = new_trial(make_spec(trigger="never", steps=9))

    trial.attempt(checkpoint_every_s=0.0)

    assert [each.step for each in trial.recorder.commits] == [1]


def test_growth_events_and_points_have_keys_of_their_own(grown: Any) -> None:
    """Storage writes them by upsert: two facts with one key would be one row."""

    def key(fact: Any) -> tuple[Any, ...]:
        match fact:
            case Metric():
                return Metric, fact.step, fact.split, fact.name
            case TrajectoryPoint():
                return TrajectoryPoint, fact.step, fact.unit, fact.tensor
            case GrowthEvent():
                return GrowthEvent, fact.step, fact.position

    keys = [key(fact) for fact in grown.recorder.facts]

    assert len(set(keys)) == len(keys)
