"""A curriculum moves on at exact steps, changes text and plasticity, and survives any interruption.

The trial of these tests has 40 steps: stages begin at 0, 6 (0.15) and 16 (0.40). It grows at 15 and 30.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from growlab.data.batches import training_batch
from growlab.data.corpus import Corpus, load_corpus
from growlab.kinds import complete
from growlab.layout import format_layout, parse
from growlab.records import Metric
from growlab.specs import StageSpec, TrialSpec
from growlab.training.checkpoint import read_tensors
from growlab.training.run import fresh_run
from growlab.training.schedule import stage_at

MakeSpec = Callable[..., TrialSpec]
CPU = torch.device("cpu")
BEGIN = {0: 0, 6: 1, 16: 2}  # step: stage
ALPHAS = 0.1, 0.5, 0.99


@pytest.fixture(scope="module")
def curriculum(tmp_path_factory: pytest.TempPathFactory) -> tuple[StageSpec, ...]:
    folder = tmp_path_factory.mktemp("stages")
    (folder / "dictionary.txt").write_text("äther: a growing layer\n" * 40, encoding="utf-8")
    (folder / "stories.txt").write_text("then the model sees another café and a layer. " * 30, encoding="utf-8")
    return (
        StageSpec(until=0.15, path=str(folder / "dictionary.txt"), sha256="", plasticity=ALPHAS[0]),
        StageSpec(until=0.40, path=str(folder / "stories.txt"), sha256="", plasticity=ALPHAS[1]),
        StageSpec(until=1.0, path="", sha256="", plasticity=ALPHAS[2]),
    )


@pytest.fixture(scope="module")
def spec(make_spec: MakeSpec, curriculum: tuple[StageSpec, ...]) -> TrialSpec:
    grown = make_spec(layout="d=16 hebbian[n_heads=2] mlp", operator="aiether", entry_scale=1.0, dropout=0.1, steps=40)
    return replace(grown, curriculum=curriculum)


@pytest.fixture(scope="module")
def staged(spec: TrialSpec) -> Corpus:
    return load_corpus(spec.data, spec.curriculum)


@pytest.fixture(scope="module")
def new_staged_trial(new_trial: Callable[[TrialSpec], Any], spec: TrialSpec, staged: Corpus) -> Callable[..., Any]:
    def make(changed: TrialSpec = spec) -> Any:
        trial = new_trial(changed)
        trial.corpus = staged
        return trial

    return make


@pytest.fixture(scope="module")
def uninterrupted(new_staged_trial: Callable[..., Any]) -> Any:
    trial = new_staged_trial()
    trial.attempt()
    assert [growth.step for growth in trial.recorder.growths] == [15, 30]
    return trial


def weights_of(trial: Any) -> str:
    [model] = [each for each in trial.recorder.artifacts if each.kind == "model"]
    return str(model.sha256)


def test_a_stage_ends_at_the_first_step_at_or_after_its_end(curriculum: tuple[StageSpec, ...]) -> None:
    for amount in (20, 40, 100, 12345):
        begins = [math.ceil(amount * 15 / 100), math.ceil(amount * 40 / 100)]

        stages = [stage_at(step / amount, curriculum) for step in range(amount)]

        assert [stages.index(1), stages.index(2)] == begins
        assert stages == sorted(stages)


def test_past_the_end_the_last_stage_goes_on(curriculum: tuple[StageSpec, ...]) -> None:
    assert stage_at(1.7, curriculum) == 2
    assert stage_at(0.5, ()) == stage_at(1.7, ()) == 0


def test_each_stage_trains_on_its_text_with_its_plasticity(spec: TrialSpec, staged: Corpus) -> None:
    run, train = fresh_run(spec, staged, CPU), spec.train
    stage = 0

    for step in range(18):
        stage = BEGIN.get(step, stage)
        expected = training_batch(staged.training(stage), train.seq_len, train.batch_size, spec.seed, step)
        assert run.stage == stage
        assert all(torch.equal(*pair) for pair in zip(run.feed.inputs(step), expected, strict=True))
        assert f"plasticity={ALPHAS[stage]}" in str(run.model.layout)
        run.train_step()
        assert run.advance_stage() == (step + 1 in BEGIN)


def test_the_switches_are_on_record(uninterrupted: Any) -> None:
    told = [
        (fact.step, fact.split, fact.name, fact.value)
        for fact in uninterrupted.recorder.facts
        if isinstance(fact, Metric) and fact.name in ("stage", "plasticity")
    ]

    assert told == [
        (6, "train", "stage", 1),
        (6, "train", "plasticity", 0.5),
        (16, "train", "stage", 2),
        (16, "train", "plasticity", 0.99),
    ]


def test_the_layout_and_the_saved_model_tell_the_plasticity_of_the_last_stage(uninterrupted: Any) -> None:
    [saved] = [each for each in uninterrupted.recorder.artifacts if each.kind == "model"]
    _, header = read_tensors(uninterrupted.root / saved.path, saved.sha256)

    for layout in (uninterrupted.recorder.result.layout_end, header["layout"]):
        hebbian = [dict(block.options) for block in parse(layout).blocks if block.kind == "hebbian"]
        assert [options["plasticity"] for options in hebbian] == [0.99] * 3


def test_growth_extrapolates_though_the_plasticity_is_another_than_the_named_units(
    new_staged_trial: Callable[..., Any], spec: TrialSpec
) -> None:
    named = replace(spec, growth=replace(spec.growth, unit="hebbian[n_heads=2] mlp"))
    trial = new_staged_trial(named)

    trial.attempt()

    assert [growth.operator for growth in trial.recorder.growths] == ["aiether", "aiether"]
    assert [growth.unit for growth in trial.recorder.growths] == [
        f"hebbian[n_heads=2,plasticity={alpha}] mlp" for alpha in (0.5, 0.99)
    ]


@pytest.mark.parametrize("stops", [(5,), (6, 16), (7, 15, 31)])
def test_a_trial_stopped_around_a_boundary_or_a_growth_is_the_trial_that_was_not(
    new_staged_trial: Callable[..., Any], uninterrupted: Any, stops: tuple[int, ...]
) -> None:
    trial = new_staged_trial()
    for stop in stops:
        assert trial.attempt(stop_at=stop) is None

    trial.attempt()

    assert trial.recorder.timeless == uninterrupted.recorder.timeless
    assert weights_of(trial) == weights_of(uninterrupted)


def test_a_trial_that_was_killed_loses_nothing_but_time(
    new_staged_trial: Callable[..., Any], uninterrupted: Any, killed: type[Exception]
) -> None:
    trial = new_staged_trial()
    trial.attempt(stop_at=4)
    with pytest.raises(killed):
        trial.attempt(die_at=18)  # past two boundaries and a growth

    trial.attempt()

    assert trial.recorder.timeless == uninterrupted.recorder.timeless
    assert weights_of(trial) == weights_of(uninterrupted)


def test_stages_of_other_budgets_are_a_function_of_what_was_spent(
    spec: TrialSpec, staged: Corpus, make_spec: MakeSpec
) -> None:
    tokens = replace(spec, budget=make_spec(tokens=20 * 64).budget)
    run = fresh_run(tokens, staged, CPU)

    begun = []
    for step in range(20):
        run.train_step()
        if run.advance_stage():
            begun.append(step + 1)

    assert begun == [3, 8]


def test_stages_without_a_plasticity_leave_the_blocks_their_own(spec: TrialSpec, staged: Corpus) -> None:
    plain = tuple(replace(stage, plasticity=0.0) for stage in spec.curriculum)
    run = fresh_run(replace(spec, layout="d=16 hebbian[n_heads=2,plasticity=0.3] mlp", curriculum=plain), staged, CPU)

    for _ in range(10):
        run.train_step()
        run.advance_stage()

    assert run.stage == 1
    assert "plasticity=0.3" in str(run.model.layout)


def test_a_checkpoint_holds_no_more_for_a_curriculum(
    new_staged_trial: Callable[..., Any], new_trial: Callable[[TrialSpec], Any], spec: TrialSpec
) -> None:
    with_stages, without = new_staged_trial(), new_trial(replace(spec, curriculum=()))
    held = []
    for trial in (with_stages, without):
        trial.attempt(stop_at=7)
        tensors, numbers = read_tensors(trial.root / trial.recorder.committed.path, trial.recorder.committed.sha256)
        held.append((tensors.keys(), numbers.keys()))

    assert held[0] == held[1]


@pytest.mark.gpu
@pytest.mark.parametrize("layout", ["d=32 hebbian mlp", "d=32 hebbian[delta=true] mlp"])
def test_a_recorded_step_moves_on_as_an_eager_one_does(
    spec: TrialSpec, staged: Corpus, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """At 6 and 16 with another text; at 24 with another plasticity alone, of which the recording is not told."""
    own = staged.training(2)
    last = (replace(spec.curriculum[2], until=0.6), replace(spec.curriculum[2], plasticity=0.2))
    longer = replace(
        spec,
        layout=format_layout(complete(parse(layout))),
        train=replace(spec.train, dropout=0.0),
        curriculum=(*spec.curriculum[:2], *last),
    )
    corpus = replace(staged, stages=(*staged.stages, replace(staged.stages[2], train=own)))
    seen = []
    for execution in ("eager", "graph"):
        monkeypatch.setenv("GROWLAB_ENGINE", execution)
        run, losses = fresh_run(longer, corpus, torch.device("cuda")), []
        for step in range(40):
            run.loss_sum.zero_()
            run.train_step()
            losses.append(float(run.loss_sum))
            assert run.advance_stage() == (step + 1 in (6, 16, 24))
            assert step + 1 != 24 or execution == "eager" or run.engine.settled
        seen.append(losses)

    assert seen[1] == seen[0]


@pytest.mark.parametrize("least", [-100.0, 100.0], ids=["kept", "dropped"])
@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ((0.05, 0.9), {2: 1, 30: 2}),
        ((0.15, 0.4), {6: 1, 10: 2}),
        ((0.1, 0.25), {4: 1, 10: 2}),
    ],
    ids=["before and after it", "on its way and by its charge", "at the fork and at its branches' end"],
)
def test_a_curriculum_moves_on_through_a_probe(
    new_staged_trial: Callable[..., Any],
    spec: TrialSpec,
    make_spec: MakeSpec,
    least: float,
    ends: tuple[float, float],
    told: dict[int, int],
) -> None:
    """Of 40 steps a probe forks at 4; each branch goes to step 10, and the charge leaves 16 spent there."""
    stages = tuple(replace(stage, until=end) for stage, end in zip(spec.curriculum, (*ends, 1.0), strict=True))
    trigger = {"probe": {"shares": 0.1, "share": 0.15, "least": least}}
    probing = replace(make_spec(trigger=trigger, dropout=0.1, steps=40), curriculum=stages, layout=spec.layout)
    whole = new_staged_trial(probing)
    whole.attempt()

    reported = [(fact.step, fact.value) for fact in whole.recorder.facts if getattr(fact, "name", "") == "stage"]
    assert reported == list(told.items())
    assert bool(whole.recorder.growths) is (least < 0)
    for stop in (10, 16):  # right after the change-over, right after the decision
        stopped = new_staged_trial(probing)
        assert stopped.attempt(stop_at=stop) is None
        stopped.attempt()
        assert (stopped.recorder.timeless, weights_of(stopped)) == (whole.recorder.timeless, weights_of(whole))
