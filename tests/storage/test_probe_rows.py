"""What a probed trial leaves in a real database: the rows of the branch that stayed, and what both came to."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch

from growlab.data.corpus import load_corpus
from growlab.named import Named
from growlab.proposal import Proposal
from growlab.records import EndReason, TrialState
from growlab.scalar import with_defaults
from growlab.specs import BudgetSpec, DataSpec, TrainSpec, TrialSpec
from growlab.storage import LeasedRecorder
from growlab.study.growth_section import growth_with
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.trial import run_trial


@pytest.fixture
def spec(tmp_path: Path) -> TrialSpec:
    """Of 30 steps a probe at 6, whose branches have 3 each; evaluated and watched after every step."""
    text = tmp_path / "text.txt"
    text.write_text(" ".join(Random(0).choice(("grow", "a", "layer", "model")) for _ in range(600)))
    growth = {"operator": "copy-last", "collect_interval_steps": 1, "freeze_steps": 1, "max_depth": 4}
    return TrialSpec(
        layout="d=8 attn[gate=false,heads_per_kv=1,n_heads=1,qk_norm=false]",
        data=with_defaults(DataSpec, path=str(text), val_fraction=0.1, test_fraction=0.1),
        train=with_defaults(TrainSpec, batch_size=2, seq_len=8, eval_every=1, precision="fp32"),
        growth=growth_with(trigger={"probe": {"shares": 0.2, "share": 0.1, "least": 0.0}}, **growth),
        budget=BudgetSpec(unit="steps", amount=30),
        curriculum=(),
        seed=7,
    )


def decided(spec: TrialSpec, least: float) -> TrialSpec:
    options = {**spec.growth.trigger.options, "least": least}
    return replace(spec, growth=replace(spec.growth, trigger=Named(name="probe", options=options)))


def attempt(lab, corpus, spec, root, *, stop_after=10**9):
    """An attempt of a worker of its own, which commits after every step."""
    claim = lab.claim(lab.worker())
    steps = iter(range(10**9))
    recorder = LeasedRecorder(lab.store, claim, on_begin=lambda step, note: None, on_progress=lambda progress: None)
    result = run_trial(
        spec,
        corpus,
        recorder,
        device=torch.device("cpu"),
        folder=CheckpointFolder(root, "trial"),
        should_stop=lambda: next(steps) == stop_after,
        checkpoint_every_s=0.0,
    )
    if result is None:
        lab.store.release(claim, EndReason.STOPPED, "")
    return claim.trial_id


@pytest.mark.parametrize("least", [-100.0, 100.0], ids=["kept", "dropped"])
def test_only_the_branch_that_stayed_has_rows_however_often_the_worker_changed(
    lab, spec, tmp_path, monkeypatch, least
) -> None:
    monkeypatch.setattr("growlab.training.sample.LENGTH", 1)
    spec, kept = decided(spec, least), least < 0
    corpus = load_corpus(spec.data)
    proposal = Proposal(spec=spec, layout=spec.layout, depth=1, params={}, decision=lab.decision(0))
    lab.store.enqueue(lab.study_id, proposal)

    for stop_after in (8, 2):  # in the first branch, in the grown one
        trial_id = attempt(lab, corpus, spec, tmp_path, stop_after=stop_after)
        assert max(metric.step for metric in lab.store.metrics(trial_id)) == 6
        assert lab.count("gl_growth_events") == 0
    attempt(lab, corpus, spec, tmp_path)

    losses = [metric.step for metric in lab.store.metrics(trial_id, split="val", name="loss")]
    assert losses == list(range(1, 28))
    assert [event.step for event in lab.store.growth_events(trial_id)] == ([6] if kept else [])
    watched = {point.step: point.unit for point in lab.store.trajectory(trial_id, tensor="")}
    assert (watched[6], watched.get(7), watched[9]) == ((0, None, 1) if kept else (0, 0, 0))  # a window begins anew
    found = {metric.name: metric.value for metric in lab.store.metrics(trial_id) if metric.name.startswith("probe_")}
    assert found.keys() == {"probe_val_loss_as_it_was", "probe_val_loss_grown", "probe_dropped_steps"}
    assert found["probe_dropped_steps"] == 3
    stayed = found["probe_val_loss_grown" if kept else "probe_val_loss_as_it_was"]
    assert [metric.value for metric in lab.store.metrics(trial_id, split="val", name="loss")][8] == stayed
    trial = lab.store.trial(lab.study_id, 0)
    assert (trial.state, trial.steps, trial.depth_end) == (TrialState.COMPLETED, 27, 2 if kept else 1)
