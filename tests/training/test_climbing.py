"""A trial that climbs rungs is the trial without any, bit for bit, however often it waited, was stopped or killed.

Budgets are in FLOPs: a step of the model that nothing has grown in takes 1.44 million, and counts of steps are of that.
"""

import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from growlab.data.corpus import Corpus, load_corpus
from growlab.records import Fact, Metric, Paused, RungReading, TrialState
from growlab.rungs import READINGS, Ladder, Reading, Rungs
from growlab.specs import StageSpec, TrialSpec
from growlab.training import climbing
from growlab.training.checkpoint import CheckpointFolder, read_tensors
from growlab.training.climbing import loss_of
from growlab.training.engine import waits
from growlab.training.run import TrialRun, fresh_run
from growlab.training.timing import warm_up
from growlab.training.trial import run_trial
from growlab.training.validation import Validation

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[[TrialSpec], Any]  # a Trial, see conftest

CPU = torch.device("cpu")
STEP = 1_443_840  # FLOPs of a step before the first growth
PLAIN = {"trigger": "never", "dropout": 0.2, "watch": "newest"}


def rungs(reading: Reading = "trunk", *, first: float = 0.2, factor: float = 2.6, grace: float = 0.0) -> Rungs:
    return Rungs(first=first, factor=factor, reading=reading, grace=grace)


def climb(
    trial: Any, section: Rungs | None, may_pass: int = 9, *, stop_after: int = -1, device: torch.device = CPU
) -> Any:
    """Train in a new process, so to say, whose generators stand elsewhere; stop after so many steps."""
    torch.manual_seed(99)
    trial.recorder.begin_attempt()
    steps = count()
    return run_trial(
        trial.spec,
        trial.corpus,
        trial.recorder,
        device=device,
        folder=CheckpointFolder(trial.root, "trial"),
        should_stop=lambda: next(steps) == stop_after,
        checkpoint_every_s=math.inf,
        ladder=None if section is None else Ladder(rungs=section, may_pass=may_pass),
    )


def readings(trial: Any) -> list[RungReading]:
    return [fact for fact in trial.recorder.facts if isinstance(fact, RungReading)]


def without_readings(facts: Sequence[Fact]) -> list[Fact]:
    return [fact for fact in facts if not isinstance(fact, RungReading)]


def ending(trial: Any) -> tuple[Any, ...]:
    """All that a trial leaves but its readings: metrics, growths and paths, the result, the sha256 of the weights."""
    [model] = [artifact for artifact in trial.recorder.artifacts if artifact.kind == "model"]
    return without_readings(trial.recorder.timeless), replace(trial.recorder.result, elapsed_s=0.0), model.sha256


def values(trial: Any, split: str, name: str) -> dict[int, float]:
    found = [fact for fact in trial.recorder.facts if isinstance(fact, Metric)]
    return {fact.step: fact.value for fact in found if (fact.split, fact.name) == (split, name)}


# ---- the same bits ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def growing(make_spec: MakeSpec) -> tuple[TrialSpec, Rungs]:
    """Read at steps 7 and 16: between two evaluations, and in the warm-up of a growth of step 15."""
    spec = make_spec(dropout=0.2, operator="aiether", entry_scale=1.0, collect_interval_steps=2, flops=45_000_000)
    return spec, rungs()


@pytest.fixture(scope="module")
def staged(make_spec: MakeSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrialSpec, Rungs]:
    """Read at step 4, from where a branch reads the next stage's text, and when the probe of step 7 on is decided."""
    path = tmp_path_factory.mktemp("stage") / "stories.txt"
    path.write_text("then the model sees another café and a layer. " * 30, encoding="utf-8")
    spec = make_spec(
        layout="d=16 hebbian[n_heads=2] mlp",
        trigger={"probe": {"shares": 0.25, "share": 0.12, "least": -9.0}},
        operator="stack",
        entry_scale=0.3,
        dropout=0.2,
        flops=40_000_000,
    )
    stages = (
        StageSpec(until=0.165, path=str(path), sha256="", plasticity=0.1),
        StageSpec(until=1.0, path="", sha256="", plasticity=0.9),
    )
    return replace(spec, curriculum=stages), rungs(first=0.15, factor=2.0)


CASES: list[tuple[str, Reading]] = [
    ("growing", "trunk"),
    ("growing", "average"),
    ("growing", "branch"),
    ("staged", "average"),
    ("staged", "branch"),
]


@pytest.fixture(scope="module")
def new_case(request: pytest.FixtureRequest, new_trial: NewTrial) -> Callable[[str], Any]:
    def make(name: str) -> Any:
        spec, _ = request.getfixturevalue(name)
        trial = new_trial(spec)
        trial.corpus = load_corpus(spec.data, spec.curriculum)
        return trial

    return make


@pytest.fixture(scope="module")
def without_rungs(new_case: Callable[[str], Any]) -> dict[str, Any]:
    trials = {name: new_case(name) for name in ("growing", "staged")}
    for trial in trials.values():
        climb(trial, None)
    return trials


@pytest.fixture(scope="module", params=CASES, ids=[f"{name}, {reading}" for name, reading in CASES])
def case(request: pytest.FixtureRequest, new_case: Callable[[str], Any]) -> tuple[str, Rungs, Any]:
    """A trial that climbed all rungs in one go."""
    name, reading = request.param
    section = replace(request.getfixturevalue(name)[1], reading=reading)
    trial = new_case(name)
    climb(trial, section)
    return name, section, trial


def test_a_trial_that_climbs_every_rung_is_the_trial_without_any(
    case: tuple[str, Rungs, Any], without_rungs: dict[str, Any]
) -> None:
    name, section, trial = case

    assert ending(trial) == ending(without_rungs[name])
    assert [reading.rung for reading in readings(trial)] == list(range(len(section.shares)))
    assert len(trial.recorder.growths) > 0


def test_a_trial_that_waits_at_each_rung_and_is_stopped_and_killed_between_them_is_the_same(
    case: tuple[str, Rungs, Any],
    new_case: Callable[[str], Any],
    killed: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, section, at_once = case
    trial, expected = new_case(name), readings(at_once)

    assert climb(trial, section, 0) == Paused(reading=expected[0])
    assert climb(trial, section, 1, stop_after=3) is None
    with monkeypatch.context() as patch:
        patch.setattr(trial.recorder, "pause", die(killed))
        with pytest.raises(killed):
            climb(trial, section, 1)
    for rung in range(1, len(section.shares)):
        assert climb(trial, section, rung) == Paused(reading=expected[rung])
    climb(trial, section)

    assert readings(trial) == expected
    assert trial.recorder.pauses == [reading.step for reading in expected]
    assert trial.recorder.reasons_to_start_over == []
    assert ending(trial) == ending(at_once)


def die(killed: type[Exception]) -> Callable[..., None]:
    def fails(*_: object) -> None:
        raise killed

    return fails


def test_the_run_of_a_paused_trial_can_be_read_in_every_way_and_says_what_its_reading_says(
    growing: tuple[TrialSpec, Rungs], new_case: Callable[[str], Any]
) -> None:
    trial = new_case("growing")
    paused = climb(trial, rungs("branch"), 0)
    checkpoint = trial.recorder.committed
    run = CheckpointFolder(trial.root, "trial").load(checkpoint, trial.spec, trial.corpus, CPU)

    trunk, branch = loss_of(run, "trunk"), loss_of(run, "branch")

    assert branch == (paused.reading.val_loss, paused.reading.extra_flops)
    assert trunk[1] == 0
    assert trunk[0] != branch[0]
    assert 0.1 * paused.reading.flops <= branch[1] < 0.1 * paused.reading.flops + STEP
    numbers = read_tensors(trial.root / checkpoint.path, checkpoint.sha256)[1]
    assert numbers["counters"]["flops"] == paused.reading.flops  # what the branch cost is in no progress
    assert sorted(trial.folder.glob("checkpoint-*")) == [trial.root / checkpoint.path]


# ---- where a trial is read -------------------------------------------------------------------------------------


def test_a_trial_is_read_at_the_first_step_by_which_it_has_spent_the_mark(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    trial = new_trial(make_spec(**PLAIN, eval_every=100, flops=10 * STEP))

    climb(trial, rungs(first=0.2, factor=1.75))  # 2, 3.5 and 6.125 steps

    assert [(reading.step, reading.mark) for reading in readings(trial)] == [
        (2, 2 * STEP),
        (4, round(3.5 * STEP)),
        (7, round(6.125 * STEP)),
    ]
    assert [reading.flops for reading in readings(trial)] == [2 * STEP, 4 * STEP, 7 * STEP]
    assert [reading.extra_flops for reading in readings(trial)] == [0, 0, 0]


def test_a_step_that_passes_two_marks_is_read_at_one_and_the_next_step_at_the_other(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    spec, section = make_spec(**PLAIN, flops=4 * STEP), rungs(first=0.3, factor=1.5)  # marks at 1.2, 1.8 and 2.7 steps
    at_once, waiting = new_trial(spec), new_trial(spec)

    climb(at_once, section)
    for may_pass in range(3):
        climb(waiting, section, may_pass)

    assert [reading.step for reading in readings(at_once)] == [2, 3, 4]
    assert readings(waiting) == readings(at_once)
    assert waiting.recorder.pauses == [2, 3]


def growing_at(share: float, make_spec: MakeSpec, new_trial: NewTrial, **changes: Any) -> Any:
    return new_trial(
        make_spec(trigger={"at": {"shares": share}}, freeze_steps=0, operator="stack", flops=20 * STEP, **changes)
    )


@pytest.mark.parametrize(("grace", "least_steps"), [(0.0, 0), (0.1, 2), (0.2, 4)])
def test_a_trial_whose_growth_is_younger_than_grace_is_read_when_that_has_trained_so_long(
    make_spec: MakeSpec, new_trial: NewTrial, grace: float, least_steps: int
) -> None:
    trial = growing_at(0.25, make_spec, new_trial)

    paused = climb(trial, rungs(first=0.25, factor=4, grace=grace), 0)

    assert [growth.step for growth in trial.recorder.growths] == [5]
    since = (paused.reading.flops - 5 * STEP) / STEP
    assert least_steps <= since < least_steps + 2  # a step is dearer now
    assert paused.reading.mark == 5 * STEP
    assert paused.reading.slope is None


def test_no_grace_outlasts_the_next_mark_or_the_budget_at_whose_end_nothing_waits_and_the_result_is_read(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    trial, section = growing_at(0.2, make_spec, new_trial), rungs("branch", first=0.25, factor=2, grace=0.9)

    assert climb(trial, section, 0).reading.rung == 0
    result = climb(trial, section, 1)

    lower, upper = readings(trial)
    assert upper.mark <= lower.flops < upper.mark + 2 * STEP
    assert (result.state, result.steps, result.flops) == (TrialState.COMPLETED, upper.step, upper.flops)
    assert (upper.val_loss, upper.extra_flops) == (result.val_loss, 0)


def test_a_growth_has_as_long_to_pay_where_it_was_tried_before_it_stayed(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    """What the dropped branch was trained for is none of the growth's time."""
    probe = {"probe": {"shares": 0.2, "share": 0.1, "least": -9.0}}
    trial = new_trial(
        make_spec(trigger=probe, freeze_steps=0, operator="stack", watch="newest", dropout=0.1, flops=20 * STEP)
    )

    paused = climb(trial, rungs(first=0.2, factor=9, grace=0.25), 0)

    [dropped] = values(trial, "train", "probe_dropped_steps").values()
    assert dropped == 2  # of the trial as it was, from step 4 on
    assert 5 * STEP <= paused.reading.flops - 4 * STEP - dropped * STEP < 7 * STEP


# ---- what a reading says ---------------------------------------------------------------------------------------


@pytest.fixture
def n_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many validation passes there were, in its one entry."""
    counted, evaluate = [0], Validation.evaluate

    def counting(self: Validation, model: Any) -> Any:
        counted[0] += 1
        return evaluate(self, model)

    monkeypatch.setattr(Validation, "evaluate", counting)
    return counted


def test_an_evaluation_of_the_same_step_is_the_reading_of_the_trunk(
    make_spec: MakeSpec, new_trial: NewTrial, n_passes: list[int]
) -> None:
    trial = new_trial(make_spec(**PLAIN, eval_every=2, flops=10 * STEP))

    climb(trial, rungs(first=0.2, factor=1.75))

    losses = values(trial, "val", "loss")
    first, second, third = readings(trial)
    assert (first.val_loss, second.val_loss) == (losses[2], losses[4])
    assert losses[8] < third.val_loss < losses[6]
    assert n_passes == [len(losses) + 1]
    assert first.bits_per_byte == values(trial, "val", "bits_per_byte")[2]


def test_the_slope_is_that_of_the_trunk_since_the_evaluation_before(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    spec = make_spec(**PLAIN, eval_every=2, flops=10 * STEP)
    found = {}
    for reading in READINGS:
        trial = new_trial(spec)
        climb(trial, rungs(reading, first=0.2, factor=1.75), 2)
        found[reading] = readings(trial)

    first, second, third = found["trunk"]
    assert first.slope is None
    assert second.slope == pytest.approx((second.val_loss - first.val_loss) / math.log(2))
    before = values(trial, "val", "loss")[6]
    assert third.slope == pytest.approx((third.val_loss - before) / math.log(7 / 6))
    for reading in READINGS:
        assert [entry.slope for entry in found[reading]] == [None, second.slope, third.slope]


def test_the_average_is_of_the_weights_since_four_fifths_of_the_mark_also_when_stopped_there(
    make_spec: MakeSpec, new_trial: NewTrial, corpus: Corpus
) -> None:
    trial = new_trial(make_spec(**PLAIN, lr=0.02, flops=20 * STEP))
    climb(trial, rungs("average", first=0.5, factor=3), 0, stop_after=9)
    climb(trial, rungs("average", first=0.5, factor=3), 0)
    run = fresh_run(trial.spec, corpus, CPU)
    seen = []
    for step in range(1, 11):
        run.train_step()
        if step >= 8:
            seen.append([parameter.detach().double() for parameter in run.model.parameters()])

    with torch.no_grad():
        for parameter, *weights in zip(run.model.parameters(), *seen, strict=True):
            parameter.copy_(sum(weights) / 3)

    [reading] = readings(trial)
    assert reading.val_loss == pytest.approx(run.measure().loss, rel=1e-6)


def test_of_many_steps_before_a_rung_a_share_is_averaged_and_the_last_one_always(
    make_spec: MakeSpec, new_trial: NewTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    averaged: list[int] = []

    def counting(run: TrialRun, asked: Reading) -> tuple[float, int]:
        averaged.append(run.average.n)
        return loss_of(run, asked)

    monkeypatch.setattr(climbing, "loss_of", counting)
    monkeypatch.setattr(climbing, "LEAST_AVERAGED", 2)
    trial = new_trial(make_spec(**PLAIN, batch_size=1, flops=20 * STEP))

    climb(trial, rungs("average", first=0.4625, factor=3), 0)  # at step 37, which the last 7.4 steps lead to

    assert averaged[-1] == len([30, 33, 36, 37])


def test_a_loss_that_is_no_finite_number_ends_the_trial_unread(
    make_spec: MakeSpec, new_trial: NewTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(**PLAIN, flops=10 * STEP)
    step_at = TrialRun.train_step_at

    def planting(run: TrialRun, lr: float) -> None:
        step_at(run, lr)
        if run.counters.step == 4:
            run.model.embedding.weight.data.fill_(math.nan)

    monkeypatch.setattr(TrialRun, "train_step_at", planting)
    of_trunk, of_branch = new_trial(spec), new_trial(spec)

    ends = [climb(of_trunk, rungs(first=0.4), 0), climb(of_branch, rungs("branch", first=0.3), 0)]

    assert [(end.state, end.steps) for end in ends] == [(TrialState.DIVERGED, 4), (TrialState.DIVERGED, 3)]
    assert readings(of_trunk) == readings(of_branch) == []


# ---- on a GPU --------------------------------------------------------------------------------------------------

_TWICE = """
import pickle, sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import ListRecorder
from growlab.data.corpus import load_corpus
from growlab.records import RungReading
from growlab.rungs import Ladder
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.device import use_device
from growlab.training.trial import run_trial

device = use_device("cuda", deterministic=True)
spec, section = pickle.loads(Path(sys.argv[1]).read_bytes())

def end(*ladders):
    recorder, root = ListRecorder(), Path(tempfile.mkdtemp())
    for ladder in ladders:
        folder = CheckpointFolder(root, "trial")
        result = run_trial(spec, load_corpus(spec.data), recorder, device=device, folder=folder, ladder=ladder)
    read = [fact for fact in recorder.facts if isinstance(fact, RungReading)]
    facts = [fact for fact in recorder.timeless if not isinstance(fact, RungReading)]
    [model] = [artifact.sha256 for artifact in recorder.artifacts if artifact.kind == "model"]
    assert result.engine == "graph" and result.depth_end == 4, result
    return sorted(map(str, facts)), model, read

facts, model, _ = end(None)
for ladders in ([9], [0, 1, 2]):
    found = end(*(Ladder(rungs=section, may_pass=may_pass) for may_pass in ladders))
    assert len(found[2]) == 2, found[2]
    assert found[1] == model
    assert found[0] == facts
print("the same")
"""


@pytest.mark.gpu
@pytest.mark.parametrize("reading", READINGS)
def test_on_a_gpu_a_trial_of_recorded_steps_that_climbs_is_the_trial_without_rungs_where_that_is_deterministic(
    make_spec: MakeSpec, tmp_path: Path, reading: Reading
) -> None:
    """In a process of its own, which starts CUDA: cuBLAS asks for its workspace once."""
    plan = {"trigger": {"at": {"shares": 0.3}}, "operator": "stack", "factor": 2, "freeze_steps": 0}
    spec = make_spec(**plan, max_depth=4, dropout=0.2, flops=100 * STEP)
    (tmp_path / "asked").write_bytes(pickle.dumps((spec, rungs(reading, first=0.2, factor=3))))

    command = [sys.executable, "-c", _TWICE, str(tmp_path / "asked"), str(Path(__file__).parent)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.stdout == "the same\n", ended.stderr


@pytest.mark.gpu
def test_on_a_gpu_the_weights_are_averaged_beside_recorded_steps_without_waiting(
    make_spec: MakeSpec, corpus: Corpus
) -> None:
    device = torch.device("cuda")
    run = fresh_run(make_spec(**PLAIN, flops=100 * STEP), corpus, device)
    warm_up(run)
    assert run.engine.settled
    run.average.add(run.named_parameters())

    def step() -> None:
        run.train_step()
        run.average.add(run.named_parameters())

    assert not waits(step)
    own = {name: parameter.detach().clone() for name, parameter in run.named_parameters()}
    trunk = run.measure().loss
    averaged, _ = loss_of(run, "average")

    assert run.engine.settled
    assert averaged != trunk == run.measure().loss
    assert all(torch.equal(parameter, own[name]) for name, parameter in run.named_parameters())
