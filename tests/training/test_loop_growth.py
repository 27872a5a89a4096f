"""A trial that loops units as it trains: its row, what the optimizer knows, and that it may be interrupted.

It loops the middle two of four units at step 15 and again, in a loop that is twice as long, at step 30.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from growlab.data.corpus import Corpus
from growlab.export.load import load_model
from growlab.growth.identity import named_by_identity
from growlab.layout import parse
from growlab.model.cost import forward_flops
from growlab.model.decoding import Sampling, generate
from growlab.named import Named
from growlab.records import TrajectoryPoint
from growlab.specs import TrialSpec
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.run import TrialRun, fresh_run

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[[TrialSpec], Any]
CPU = torch.device("cpu")
ONCE = {"trigger": {"at": {"shares": "0.333"}}, "operator": {"loop": {}}, "layout": "d=16 (attn[n_heads=2] mlp)x4"}
TWICE = ONCE | {"trigger": {"at": {"shares": "0.333 0.666"}}}


@pytest.fixture(scope="module")
def spec(make_spec: MakeSpec) -> TrialSpec:
    return make_spec(dropout=0.2, max_depth=8, **TWICE)


@pytest.fixture(scope="module")
def whole(new_trial: NewTrial, spec: TrialSpec) -> Any:
    trial = new_trial(spec)
    trial.attempt()
    return trial


def model_file(trial: Any) -> Any:
    [model] = [each for each in trial.recorder.artifacts if each.kind == "model"]
    return model


def test_a_loop_is_a_row_and_no_parameter_more(whole: Any) -> None:
    first, second = whole.recorder.growths

    assert [event.step for event in (first, second)] == [15, 30]
    assert {event.operator for event in (first, second)} == {"loop"}
    assert (first.position, first.unit) == (1, "loop((attn[n_heads=2] mlp)x2)")
    assert (second.position, second.unit) == (1, "loop[times=4]((attn[n_heads=2] mlp)x2)")
    assert (first.depth_before, first.depth_after, second.depth_after) == (8, 12, 20)
    assert first.n_params_after == second.n_params_after == whole.recorder.result.n_params
    assert first.val_loss_before != first.val_loss_after


def test_the_result_tells_the_looped_layout(whole: Any) -> None:
    result = whole.recorder.result

    assert result.layout_end == ("d=16 attn[n_heads=2] mlp loop[times=4]((attn[n_heads=2] mlp)x2) attn[n_heads=2] mlp")
    assert result.depth_end == 20


def test_every_unit_has_its_mean_after_a_loop_too_and_the_loop_is_the_newest(whole: Any) -> None:
    points = [fact for fact in whole.recorder.facts if isinstance(fact, TrajectoryPoint)]
    rows = {step: [point.unit for point in points if (point.step, point.tensor) == (step, "")] for step in (15, 24, 39)}
    of_tensors = {point.unit for point in points if point.step > 15 and point.tensor}

    assert rows == {15: [3, 0, 1, 2], 24: [1, 0, 2], 39: [1, 0, 2]}  # three snapshots after each growth
    assert of_tensors == {1}


@pytest.mark.parametrize("stop", [14, 15, 17, 25, 29, 30])
def test_a_looped_trial_that_was_stopped_is_the_one_that_was_not(
    new_trial: NewTrial, spec: TrialSpec, whole: Any, stop: int
) -> None:
    trial = new_trial(spec)
    assert trial.attempt(stop_at=stop) is None

    result = trial.attempt()

    assert trial.recorder.reasons_to_start_over == []
    assert trial.recorder.timeless == whole.recorder.timeless
    assert replace(result, elapsed_s=0.0) == replace(whole.recorder.result, elapsed_s=0.0)
    assert model_file(trial).sha256 == model_file(whole).sha256


@pytest.mark.parametrize(("committed", "died"), [(13, 16), (30, 44)])
def test_a_looped_trial_that_was_killed_loses_nothing_but_time(
    new_trial: NewTrial, spec: TrialSpec, whole: Any, killed: type[Exception], committed: int, died: int
) -> None:
    trial = new_trial(spec)
    trial.attempt(stop_at=committed)
    with pytest.raises(killed):
        trial.attempt(die_at=died)

    trial.attempt()

    assert trial.recorder.timeless == whole.recorder.timeless
    assert model_file(trial).sha256 == model_file(whole).sha256


def test_what_was_trained_is_what_its_file_generates(whole: Any) -> None:
    model = load_model(whole.root / model_file(whole).path, model_file(whole).sha256)
    ids = torch.randint(model.vocab_size, (1, 12), generator=torch.Generator().manual_seed(0))

    written = list(generate(model, ids[0].tolist(), 6, Sampling(temperature=0), seed=0))

    read = ids[0].tolist()
    for token in written:
        assert token == int(model(torch.tensor([read]))[0, -1].argmax())
        read.append(token)


# ---- one growth by hand ---------------------------------------------------------------------------------------


def run_of(make_spec: MakeSpec, corpus: Corpus, **changes: object) -> TrialRun:
    return fresh_run(make_spec(**(ONCE | changes), max_depth=12), corpus, CPU)  # type: ignore[arg-type]


def steps(run: TrialRun, n_steps: int) -> list[float]:
    losses = []
    for _ in range(n_steps):
        run.loss_sum.zero_()
        run.train_step()
        losses.append(float(run.loss_sum))
        if run.growth.advance_to(run.counters.step):
            run.refit_step()
        if run.growth.snapshot_due(run.counters.step):
            run.growth.snapshot()
    return losses


def grow(run: TrialRun, operator: str, **changes: object) -> None:
    """Grow by an operator, whatever the run's own."""
    named = Named(name=operator, options={"times": 2, "gradient": "all", "start": 0.25, "stop": 0.75} | changes)
    run.growth.spec = replace(run.spec.growth, operator=named if operator == "loop" else Named(name=operator))
    run.adopt_units(run.growth.grow(run.counters.step))


def test_moments_births_and_weights_stay_with_their_parameters(make_spec: MakeSpec, corpus: Corpus) -> None:
    run = run_of(make_spec, corpus)
    steps(run, 3)
    moments = run.optimizer._states
    before = {parameter: {key: each.clone() for key, each in own.items()} for parameter, own in moments.items()}

    grow(run, "loop")

    assert list(before) == list(moments)
    for parameter, own in before.items():
        assert all(torch.equal(moments[parameter][key], each) for key, each in own.items())
    assert dict(run.named_parameters()) == run.optimizer._parameters
    assert set(run.optimizer.born.values()) == {0}
    assert len(run.optimizer.groups) == 2  # of matrices and of vectors


def test_one_pass_trains_on_as_if_nothing_had_grown(make_spec: MakeSpec, corpus: Corpus) -> None:
    grown, plain = (run_of(make_spec, corpus, freeze_steps=0) for _ in range(2))
    steps(grown, 4)
    grow(grown, "loop", times=1)

    losses = steps(grown, 4)

    assert losses == steps(plain, 8)[4:]
    assert all(map(torch.equal, grown.model.parameters(), plain.model.parameters()))


def test_the_step_is_charged_for_every_pass(make_spec: MakeSpec, corpus: Corpus) -> None:
    run = run_of(make_spec, corpus, freeze_steps=0)
    vocab_size, train = run.model.vocab_size, run.spec.train

    grow(run, "loop", times=3)

    written_out = parse("d=16 (attn[n_heads=2] mlp)x8")
    assert run.flops_per_step == 3 * train.batch_size * forward_flops(written_out, vocab_size, train.seq_len)


@pytest.mark.parametrize("then", ["loop", "stack"])
def test_units_that_entered_before_a_loop_and_after_it_are_found_again(
    make_spec: MakeSpec, corpus: Corpus, tmp_path: Any, then: str
) -> None:
    watched = {"layout": "d=16 attn[n_heads=2] mlp conv mlp", "collect_interval_steps": 1}
    run = run_of(make_spec, corpus, **watched, freeze_steps=1, dropout=0.1)
    steps(run, 2)
    for operator, changes in [("stack", {}), ("loop", {"start": 0.5, "stop": 1.0}), (then, {})]:
        grow(run, operator, **changes)
        steps(run, 3)
    folder = CheckpointFolder(tmp_path, "trial")

    again = folder.load(folder.save(run), run.spec, corpus, CPU)

    assert again.model.layout == run.model.layout
    assert again.growth.unit_identities == run.growth.unit_identities
    assert again.optimizer.born == run.optimizer.born
    saved = dict(named_by_identity(run.model, run.growth.unit_identities))
    assert all(torch.equal(saved[name], parameter) for name, parameter in again.named_parameters())
    random = torch.get_rng_state()
    losses = steps(run, 3)
    torch.set_rng_state(random)
    assert steps(again, 3) == losses
    assert all(map(torch.equal, again.model.parameters(), run.model.parameters()))
    windows, of_again = run.growth.paths.tensors(), again.growth.paths.tensors()
    assert windows.keys() == of_again.keys()
    assert all(torch.equal(of_again[name], tensor) for name, tensor in windows.items())
    assert again.growth.paths.sketches.statistics().keys() == again.growth.places.keys() - {max(again.growth.places)}


@pytest.mark.parametrize("stop", [16, 18, 22])
def test_a_loop_that_is_tried_and_kept_may_be_interrupted_in_either_branch(
    new_trial: NewTrial, make_spec: MakeSpec, stop: int
) -> None:
    kept = make_spec(max_depth=8, **ONCE | {"trigger": {"probe": {"shares": "0.333", "share": 0.1, "least": -10.0}}})
    undisturbed, trial = new_trial(kept), new_trial(kept)
    undisturbed.attempt()
    assert [event.reason for event in undisturbed.recorder.growths] == ["probe"]
    assert trial.attempt(stop_at=stop) is None

    trial.attempt()

    assert trial.recorder.timeless == undisturbed.recorder.timeless
    assert model_file(trial).sha256 == model_file(undisturbed).sha256
