"""A probe: a trial is forked, trained in two branches at equal spending, and the better branch stays.

A budget of 50 steps, of which the probe begins at step 10 and trains each branch for 5: as it was to step 15, then
grown from step 10 to step 15 again. The trial ends at step 45: five steps were of the dropped branch.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from growlab.growth.moment import Memory, Moment
from growlab.recipes import TRIGGERS, TriggerOptions, Trying, register_trigger
from growlab.records import Fact, Metric, TrialState
from growlab.specs import TrialSpec
from growlab.training.checkpoint import CheckpointFolder, below, read_tensors
from growlab.training.run import TrialRun
from growlab.training.trial import run_trial

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[[TrialSpec], Any]  # a Trial, see conftest

KEEP, DROP = -100.0, 100.0  # nats that a growth must gain
CONSTANT_LR = {"warmup_fraction": 0.0, "min_lr_ratio": 1.0}
PLAN = {"operator": "stack", "factor": 2, "entry_scale": 0.3, "dropout": 0.2, "max_depth": 12}


def probe(shares: object = 0.2, share: float = 0.1, least: float = 0.0) -> dict[str, Any]:
    return {"probe": {"shares": shares, "share": share, "least": least}}


def ending(trial: Any) -> tuple[Any, ...]:
    [model] = [artifact for artifact in trial.recorder.artifacts if artifact.kind == "model"]
    return trial.recorder.timeless, replace(trial.recorder.result, elapsed_s=0.0), model.sha256


def trained(new_trial: NewTrial, spec: TrialSpec) -> Any:
    trial = new_trial(spec)
    trial.attempt()
    return trial


def metric(trial: Any, split: str, name: str) -> dict[int, float]:
    found = [fact for fact in trial.recorder.facts if isinstance(fact, Metric)]
    return {fact.step: fact.value for fact in found if (fact.split, fact.name) == (split, name)}


def without_probes(facts: list[Fact]) -> list[Fact]:
    """Facts that a trial has which never probed: no times, no reason, no FLOPs of a dropped branch."""
    names = ("pause_s", "tokens_per_s", "flops", "lr")
    kept = [fact for fact in facts if not getattr(fact, "name", "").startswith(("probe_", *names))]
    return [replace(fact, reason="") if hasattr(fact, "reason") else fact for fact in kept]


# ---- what stays ------------------------------------------------------------------------------------------------


def test_a_dropped_growth_leaves_the_trial_that_never_grew(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    probed = trained(new_trial, make_spec(**PLAN, **CONSTANT_LR, trigger=probe(least=DROP), steps=50))
    never = trained(new_trial, make_spec(**PLAN, **CONSTANT_LR, trigger={"at": {"shares": 0.999}}, steps=45))

    assert probed.recorder.growths == []
    assert without_probes(probed.recorder.facts) == without_probes(never.recorder.facts)
    assert ending(probed)[2] == ending(never)[2]  # the model's bits
    assert probed.recorder.result.flops > never.recorder.result.flops
    assert probed.recorder.result.tokens == never.recorder.result.tokens


def test_a_kept_growth_leaves_the_trial_that_grew_there(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    probed = trained(new_trial, make_spec(**PLAN, **CONSTANT_LR, trigger=probe(least=KEEP), steps=50))
    at = trained(new_trial, make_spec(**PLAN, **CONSTANT_LR, trigger={"at": {"shares": 0.2222}}, steps=45))

    assert [growth.step for growth in at.recorder.growths] == [10]
    assert {growth.reason for growth in probed.recorder.growths} == {"probe"}
    assert without_probes(probed.recorder.facts) == without_probes(at.recorder.facts)
    assert ending(probed)[2] == ending(at)[2]


def test_the_lower_val_loss_stays_and_both_are_on_record(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    """Without a mixer of tokens the model knows one token at a time; attention that enters sees more, given time."""
    layout = {"layout": "d=16 mlp", "unit": "attn[n_heads=2] mlp", "operator": "identity", "freeze_steps": 0}
    good = make_spec(**layout, trigger=probe(0.1, 0.4), lr=0.01, new_lr_factor=3.0, steps=200, eval_every=50)
    bad = make_spec(operator="random", entry_scale=1.0, new_lr_factor=1e4, trigger=probe(), steps=50)

    kept, dropped = trained(new_trial, good), trained(new_trial, bad)

    for trial, stays in ((kept, True), (dropped, False)):
        [(step, grown)] = metric(trial, "val", "probe_val_loss_grown").items()
        [as_it_was] = metric(trial, "val", "probe_val_loss_as_it_was").values()
        branches_end = step + (80 if stays else 5)
        assert (grown < as_it_was) is stays
        assert bool(trial.recorder.growths) is stays
        assert metric(trial, "val", "loss")[branches_end] == min(grown, as_it_was)


def test_a_tie_keeps_the_trial_as_it_was(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    """Nothing learns at lr ≈ 0, and a silent unit changes no loss: both branches end alike to the bit."""
    still = {"entry_scale": 0.0, "lr": 1e-30, "operator": "copy-last"}
    trial = trained(new_trial, make_spec(**still, trigger=probe(), steps=50))

    assert metric(trial, "val", "probe_val_loss_grown") == metric(trial, "val", "probe_val_loss_as_it_was")
    assert trial.recorder.growths == []


def test_after_a_dropped_growth_the_trial_shows_the_path_that_it_had(
    make_spec: MakeSpec, new_trial: NewTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growlab.training.reporting.PROGRESS_EVERY_S", 0.0)
    watched = PLAN | CONSTANT_LR | {"collect_interval_steps": 2, "freeze_steps": 0}
    probed = trained(new_trial, make_spec(**watched, trigger=probe(least=DROP), steps=50))
    never = trained(new_trial, make_spec(**watched, trigger={"at": {"shares": 0.999}}, steps=45))

    shown, expected = (
        [(glimpse.step, glimpse.tau, glimpse.kappa, glimpse.depth) for glimpse in trial.recorder.glimpses]
        for trial in (probed, never)
    )
    assert shown[-31:] == expected[-31:]  # from step 15, where the growth was dropped
    assert [glimpse.phase for glimpse in probed.recorder.glimpses] == ["train"] * 9 + ["probe"] * 10 + ["train"] * 31


# ---- what it costs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("least", [KEEP, DROP])
def test_both_branches_see_the_same_learning_rates_and_the_charge_moves_them_on_afterwards(
    make_spec: MakeSpec, new_trial: NewTrial, least: float
) -> None:
    falls = {"warmup_fraction": 0.0, "decay_fraction": 1.0, "min_lr_ratio": 0.0, "lr": 0.01}
    trial = new_trial(make_spec(**PLAN, **falls, trigger=probe(least=least), steps=50, eval_every=1))
    assert attempt(trial, 19) is None  # steps 11 to 15, then 11 to 14
    _, numbers = committed(trial)

    trial.attempt()

    branches = [
        {fact["step"]: fact["value"] for fact in numbers["branch"][name] if fact.get("name") == "lr"}
        for name in ("other_facts", "facts")
    ]
    assert list(branches[0]) == [11, 12, 13, 14, 15]
    assert {step: lr for step, lr in branches[0].items() if step < 15} == branches[1]
    lrs = metric(trial, "train", "lr")
    assert lrs[15] == pytest.approx(0.01 * (1 - 14 / 50))
    assert lrs[16] == pytest.approx(0.01 * (1 - 20 / 50))
    assert trial.recorder.result.steps == 45


@pytest.mark.parametrize("least", [KEEP, DROP])
@pytest.mark.parametrize("unit", ["steps", "tokens", "flops"])
def test_the_budget_pays_for_the_dropped_branch(
    make_spec: MakeSpec, new_trial: NewTrial, unit: str, least: float
) -> None:
    per_step = {"steps": 1, "tokens": 4 * 16, "flops": 1_000_000}[unit]
    spec = make_spec(**PLAN, trigger=probe(least=least), **{unit: 50 * per_step})
    trial = trained(new_trial, spec)

    result = trial.recorder.result
    [dropped] = metric(trial, "train", "probe_dropped_steps").values()
    spent = {"steps": result.steps + dropped, "tokens": (result.steps + dropped) * 64, "flops": result.flops}[unit]
    assert dropped > 0
    assert result.tokens == result.steps * 64  # what the model has read
    assert 0 <= spent - spec.budget.amount < 4 * per_step
    totals = list(metric(trial, "train", "flops").values())
    assert totals == sorted(totals)
    assert totals[-1] == result.flops


@pytest.mark.parametrize("watch", ["newest", "all"])
def test_flops_are_those_of_both_branches_and_of_their_snapshots(
    make_spec: MakeSpec, new_trial: NewTrial, watch: str
) -> None:
    plan = PLAN | CONSTANT_LR | {"watch": watch, "collect_interval_steps": 1}
    kept, dropped = (
        trained(new_trial, make_spec(**plan, trigger=probe(least=least), steps=50)) for least in (KEEP, DROP)
    )
    grown = trained(new_trial, make_spec(**plan, trigger={"at": {"shares": 0.2222}}, steps=45))
    never = trained(new_trial, make_spec(**plan, trigger={"at": {"shares": 0.999}}, steps=45))

    def at(trial: Any, step: int) -> float:
        return metric(trial, "train", "flops")[step]

    as_it_was, other = at(never, 15) - at(never, 10), at(grown, 15) - at(grown, 10)
    assert kept.recorder.result.flops == grown.recorder.result.flops + as_it_was
    assert dropped.recorder.result.flops == never.recorder.result.flops + other


# ---- where none begins, and where one ends early ---------------------------------------------------------------


def test_no_probe_begins_that_leaves_no_budget_or_has_no_room_to_grow(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    late = trained(new_trial, make_spec(**PLAN, trigger=probe(0.8, 0.1, KEEP), steps=50))
    full = trained(new_trial, make_spec(**PLAN | {"max_depth": 3}, trigger=probe(least=KEEP), steps=50))

    for trial in (late, full):
        assert trial.recorder.result.steps == 50
        assert metric(trial, "train", "probe_dropped_steps") == {}


def test_branches_longer_than_the_budget_end_with_it_and_the_better_one_is_the_result(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    """Of seven steps a branch has three, and the charge of them ends the budget."""
    trial = trained(new_trial, make_spec(**PLAN, trigger=probe(0.1, 0.42, KEEP), steps=7))

    result = trial.recorder.result
    assert (result.state, result.steps, result.depth_end) == (TrialState.COMPLETED, 4, 4)
    assert metric(trial, "val", "loss")[4] == result.val_loss == metric(trial, "val", "probe_val_loss_grown")[1]


def test_a_share_that_passes_within_a_probe_is_made_up_for_after_it(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = trained(new_trial, make_spec(**PLAN, trigger=probe("0.2 0.25", 0.1, KEEP), steps=50, freeze_steps=0))

    assert sorted({growth.step for growth in trial.recorder.growths}) == [10, 16]


class Eager(Memory):
    """Asks for a growth at every evaluation at which it is asked."""

    def __init__(self, options: TriggerOptions) -> None:
        self.asked: list[tuple[str, int]] = []

    def look(self, moment: Moment) -> None:
        self.asked.append(("look", moment.step))

    def check(self, moment: Moment) -> bool:
        self.asked.append(("check", moment.step))
        return True

    def forget(self) -> None:
        pass

    remembers = ("asked",)


class TriedOptions(TriggerOptions):
    def trying(self) -> Trying:
        return Trying(share=0.1, least=DROP)


def test_whatever_trigger_asks_a_growth_can_be_tried_and_none_is_asked_for_meanwhile(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    before = dict(TRIGGERS)
    register_trigger("eager", "always", options=TriedOptions)(Eager)
    try:
        trial = new_trial(make_spec(trigger="eager", steps=50, eval_every=4))
        attempt(trial, 21)  # 4, twice 5, 3 and 4: to the fork, in its branches, to the next fork, in its first branch
        asked = committed(trial)[1]["growth"]["trigger"]["asked"]
    finally:
        TRIGGERS.reset(before)

    assert asked == [["check", 4], ["look", 8], ["look", 9], ["check", 12], ["look", 16]]


@pytest.fixture
def diverges(monkeypatch: pytest.MonkeyPatch) -> Callable[[set[bool]], None]:
    """Plants a NaN into the embedding at the third step of a branch, of the grown one (True) or the other (False)."""
    step_at = TrialRun.train_step_at

    def plant(branches: set[bool]) -> None:
        def train_step_at(run: TrialRun, lr: float) -> None:
            step_at(run, lr)
            if run.branch and run.branch.grown in branches and run.counters.step == run.branch.begun_step + 3:
                run.model.embedding.weight.data.fill_(math.nan)

        monkeypatch.setattr(TrialRun, "train_step_at", train_step_at)

    return plant


@pytest.mark.parametrize(
    ("share", "eval_every", "seen"),
    [(0.1, 5, 15), (0.3, 5, 15), (0.3, 50, 20)],
    ids=["at its end", "at an evaluation on the way", "between evaluations"],
)
@pytest.mark.parametrize("grown", [True, False])
def test_a_branch_that_diverges_loses(
    make_spec: MakeSpec, new_trial: NewTrial, diverges: Any, grown: bool, share: float, eval_every: int, seen: int
) -> None:
    diverges({grown})
    lost, other = ("grown", "as_it_was") if grown else ("as_it_was", "grown")

    trial = trained(new_trial, make_spec(**PLAN, trigger=probe(share=share), steps=50, eval_every=eval_every))

    assert trial.recorder.result.state is TrialState.COMPLETED
    assert bool(trial.recorder.growths) is not grown
    assert list(metric(trial, "val", f"probe_val_loss_{lost}").values()) == [math.inf]
    assert math.isfinite(metric(trial, "val", f"probe_val_loss_{other}")[10])
    assert metric(trial, "train", "probe_dropped_steps") == {10: seen - 10}
    assert all(math.isfinite(value) for value in metric(trial, "train", "loss").values())


def test_a_trial_has_diverged_where_both_branches_do(make_spec: MakeSpec, new_trial: NewTrial, diverges: Any) -> None:
    diverges({True, False})

    trial = trained(new_trial, make_spec(**PLAN, trigger=probe(), steps=50))

    assert trial.recorder.result.state is TrialState.DIVERGED
    assert trial.recorder.artifacts == []


def test_a_leak_in_a_branch_ends_the_trial_and_all_is_charged(
    make_spec: MakeSpec, new_trial: NewTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch.nn.functional as F

    from growlab.blocks.conv import GatedConv

    def forward(self: GatedConv, x_BTD: torch.Tensor) -> torch.Tensor:
        value_BDT, gate_BTD = self._value_and_gate(x_BTD)
        return self._filter(F.pad(value_BDT, (self.past - 1, 1)), gate_BTD)  # one token ahead

    monkeypatch.setattr(GatedConv, "forward", forward)
    trial = trained(new_trial, make_spec(unit="conv", operator="random", entry_scale=1.0, trigger=probe(), steps=50))

    result = trial.recorder.result
    assert (result.state, result.steps, result.depth_end) == (TrialState.LEAK, 15, 3)
    assert [growth.step for growth in trial.recorder.growths] == [10]
    assert metric(trial, "train", "flops")[15] < result.flops


# ---- killed and resumed ----------------------------------------------------------------------------------------


# Every unit is watched, and each new one made of the path of another.
TWO_PROBES = {
    **PLAN,
    "layout": "d=16 attn[n_heads=2] mlp conv",
    "operator": "aiether",
    "position": "interleaved",
    "freeze_steps": 3,
}
# Of 60 steps: probes at 12 and at 33 spent, each branch 6. The counts are of steps trained, whatever their number.
MOMENTS = {
    15: "in the first branch",
    18: "right after the change-over",
    20: "in the warm-up of the grown branch",
    24: "right after it",
    42: "in the grown branch of the second probe",
}


def attempt(trial: Any, n_steps: int, *, die: type[Exception] | None = None) -> Any:
    """Train for so many steps, back and forth as they may go, then stop, or be killed."""
    trial.recorder.begin_attempt()
    steps: Iterator[int] = iter(range(10**9))

    def should_stop() -> bool:
        if next(steps) < n_steps:
            return False
        if die is not None:
            raise die
        return True

    folder = CheckpointFolder(trial.root, "trial")
    return run_trial(
        trial.spec,
        trial.corpus,
        trial.recorder,
        device=torch.device("cpu"),
        folder=folder,
        should_stop=should_stop,
        checkpoint_every_s=math.inf,
    )


def committed(trial: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    checkpoint = trial.recorder.committed
    return read_tensors(trial.root / checkpoint.path, checkpoint.sha256)


@pytest.fixture(scope="module", params=[KEEP, DROP], ids=["kept", "dropped"])
def spec(make_spec: MakeSpec, request: pytest.FixtureRequest) -> TrialSpec:
    return make_spec(**TWO_PROBES, trigger=probe("0.2 0.55", 0.1, request.param), steps=60)


@pytest.fixture(scope="module")
def whole(new_trial: NewTrial, spec: TrialSpec) -> Any:
    return trained(new_trial, spec)


def test_two_probes_leave_two_decisions(whole: Any, spec: TrialSpec) -> None:
    steps = [12, 27]
    kept = spec.growth.trigger.options["least"] == KEEP

    assert list(metric(whole, "train", "probe_dropped_steps").items()) == [(12, 6), (27, 6)]
    assert [growth.step for growth in whole.recorder.growths] == ([12] * 2 + [27] * 4 if kept else [])
    assert {growth.operator for growth in whole.recorder.growths} == ({"aiether"} if kept else set())
    assert list(metric(whole, "val", "probe_val_loss_grown")) == steps
    assert whole.recorder.result.steps == 48


@pytest.mark.parametrize("stop", MOMENTS, ids=MOMENTS.values())
def test_a_probe_that_was_interrupted_is_the_probe_that_was_not(
    new_trial: NewTrial, spec: TrialSpec, whole: Any, stop: int
) -> None:
    trial = new_trial(spec)
    assert attempt(trial, stop) is None

    trial.attempt()

    assert trial.recorder.reasons_to_start_over == []
    assert ending(trial) == ending(whole)


def test_a_probe_that_was_killed_again_and_again_is_the_probe_that_was_not(
    new_trial: NewTrial, spec: TrialSpec, whole: Any, killed: type[Exception]
) -> None:
    trial, steady = new_trial(spec), new_trial(spec)
    for done, lost in ((13, 4), (3, 6), (5, 2), (3, 9), (11, 3), (4, 5), (7, 1)):
        attempt(trial, done)
        with pytest.raises(killed):
            attempt(trial, lost, die=killed)
    attempt(steady, 46)
    states = committed(trial), committed(steady)
    for _, numbers in states:
        numbers["counters"].pop("elapsed_s")

    trial.attempt()

    assert states[0][1] == states[1][1]
    assert all(torch.equal(tensor, states[1][0][name]) for name, tensor in states[0][0].items())
    assert ending(trial) == ending(whole)


@pytest.mark.parametrize("spec", [DROP], indirect=True, ids=["dropped"])
def test_checkpoints_after_every_step_change_nothing_and_leave_no_file(
    new_trial: NewTrial, spec: TrialSpec, whole: Any
) -> None:
    trial = new_trial(spec)

    trial.attempt(checkpoint_every_s=0.0)

    back_and_forth = [*range(1, 18), *range(12, 33), *range(27, 49)]
    assert [artifact.step for artifact in trial.recorder.commits] == back_and_forth
    assert ending(trial) == ending(whole)
    assert sorted(path.name for path in trial.folder.iterdir())[1:] == ["tokenizer.json"]


@pytest.mark.parametrize("spec", [DROP], indirect=True, ids=["dropped"])
@pytest.mark.parametrize("stop", [15, 20], ids=["as it was", "grown"])
def test_a_checkpoint_in_a_branch_holds_every_path_of_the_other_with_its_increments(
    new_trial: NewTrial, spec: TrialSpec, stop: int
) -> None:
    """Of two units, of which the second is the newest: snapshots after steps 3, 6, 9, 12 and 15."""
    trial = new_trial(spec)
    attempt(trial, stop)

    other = below("other/", committed(trial)[0])

    for unit, of_window, of_increment in ((0, "path/0/", "path/0/"), (1, "window/", "")):
        names = below(f"model/units.{unit}.", other).keys()
        assert names == {name.removesuffix("/last") for name in below(of_window, other) if name.endswith("/last")}
        for at in range(3):
            assert names <= below(f"increment/{at}/{of_increment}", other).keys()


def test_a_probe_of_one_path_may_be_interrupted_in_either_branch(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    spec = make_spec(**TWO_PROBES | {"watch": "newest"}, trigger=probe("0.2 0.55", 0.1, KEEP), steps=60)
    undisturbed, stopped = trained(new_trial, spec), new_trial(spec)
    for n_steps in (15, 5, 22):
        assert attempt(stopped, n_steps) is None

    stopped.attempt()

    assert ending(stopped) == ending(undisturbed)


def test_nothing_of_a_branch_is_on_record_before_the_decision(new_trial: NewTrial, spec: TrialSpec) -> None:
    trial = new_trial(spec)

    attempt(trial, 23)

    assert max(fact.step for fact in trial.recorder.facts) == 12
    assert trial.recorder.growths == []


@pytest.mark.gpu
def test_on_a_gpu_both_branches_are_recorded_and_a_dropped_growth_changes_nothing(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    plain = PLAN | CONSTANT_LR | {"dropout": 0.0, "freeze_steps": 0}
    probed = new_trial(make_spec(**plain, trigger=probe(least=DROP), steps=100))
    kept = new_trial(make_spec(**plain, trigger=probe(least=KEEP), steps=100))
    never = new_trial(make_spec(**plain, trigger={"at": {"shares": 0.999}}, steps=90))
    gpu = torch.device("cuda")
    results = [
        run_trial(trial.spec, trial.corpus, trial.recorder, device=gpu, folder=CheckpointFolder(trial.root, "trial"))
        for trial in (probed, kept, never)
    ]

    assert [(result.engine, result.steps, result.depth_end) for result in results if result is not None] == [
        ("graph", 90, 2),
        ("graph", 90, 4),
        ("graph", 90, 2),
    ]
    assert metric(probed, "val", "loss") == pytest.approx(metric(never, "val", "loss"), rel=1e-2)
