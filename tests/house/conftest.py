from dataclasses import replace
from pathlib import Path

import pytest

from growlab.kinds import KINDS
from growlab.records import TrialResult, TrialState
from growlab.search import preview
from growlab.storage import Store
from growlab.study.reading import study_from_mapping


@pytest.fixture
def growlab_home(tmp_path: Path) -> Path:
    """A folder whose growlab.db holds the study 'tiny'."""
    study = study_from_mapping(
        {
            "name": "tiny",
            "n_trials": 1,
            "data": {"source": "stdlib"},
            "layouts": {"blocks": ["attn", "mlp"], "d_model": 16, "depth": [2, 2]},
            "budget": {"steps": 1},
        }
    )
    with Store.open(f"sqlite:///{tmp_path}/growlab.db", create=True) as store:
        store.create_study(study)
    return tmp_path


@pytest.fixture
def finished(growlab_home: Path) -> None:
    """Two trials of the study 'tiny' that ended, on two learning rates and one seed."""
    result = TrialResult(
        state=TrialState.COMPLETED,
        layout_end="",
        depth_end=2,
        n_params=1,
        val_loss=1.0,
        best_val_loss=1.0,
        bits_per_byte=1.0,
        flops=1,
        tokens=1,
        steps=1,
        elapsed_s=1.0,
    )
    with Store.open(f"sqlite:///{growlab_home}/growlab.db") as store:
        store.set_n_trials("tiny", 2)
        row = store.study("tiny")
        worker_id = store.register_worker(name="here", device="cpu", versions={})
        for lr, proposal in zip((3e-3, 1e-3), preview(row.study, KINDS, lambda layout: 0, n=2), strict=True):
            spec = replace(proposal.spec, seed=0, train=replace(proposal.spec.train, lr=lr))
            store.enqueue(row.id, replace(proposal, spec=spec))
            claim = store.claim_next(row.id, worker_id, lease_s=60)
            assert claim is not None
            store.finish(claim, result, [], [])
