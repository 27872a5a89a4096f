"""Two trials that were really trained, and grew, in a real database; artifacts where a worker leaves them."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from growlab.data import load_corpus
from growlab.export.bundle import export_trial
from growlab.kinds import complete
from growlab.layout import parse
from growlab.proposal import Proposal
from growlab.records import Decision, TrialResult, TrialState
from growlab.specs import TrainSpec, TrialSpec
from growlab.storage import LeasedRecorder, Store, StudyRow
from growlab.study import Study
from growlab.study.growth_section import growth_spec
from growlab.study.reading import study_from_mapping
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.trial import run_trial

CPU = torch.device("cpu")
TEXT = "".join(f"{number} squared is {number * number}, and its half is {number / 2}.\n" for number in range(400))
LAYOUT = "d=16 attn[n_heads=2] mlp"


@dataclass(frozen=True)
class Lab:
    """Trials 0 and 1 are completed, 2 is queued."""

    store: Store
    study_row: StudyRow
    artifacts: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "corpus.txt").write_text(TEXT)
    store = Store.open(f"sqlite:///{folder / 'growlab.db'}", create=True)
    study = _study(folder / "corpus.txt")
    store.create_study(study)
    lab = Lab(store, store.study(study.name), folder / "artifacts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROWLAB_CACHE", str(folder / "cache"))
        for number in range(3):
            _enqueue(lab, number)
        for _ in range(2):
            _train_next(lab)
    yield lab
    store.close()


@pytest.fixture
def lab(trained: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """With artifacts of its own, so that a test may spoil them."""
    monkeypatch.setenv("GROWLAB_CACHE", str(tmp_path / "cache"))
    return replace(trained, artifacts=Path(shutil.copytree(trained.artifacts, tmp_path / "artifacts")))


@pytest.fixture
def exported(lab: Lab, tmp_path: Path) -> Path:
    """The bundle of the best trial."""
    return export_trial(lab.store, lab.study_row, None, lab.artifacts, tmp_path / "bundle")


@pytest.fixture(scope="session")
def empty_study(trained: Lab) -> StudyRow:
    """A study in which no trial is completed: it has one that waits."""
    trained.store.create_study(replace(trained.study_row.study, name="empty"))
    study_row = trained.store.study("empty")
    _enqueue(replace(trained, study_row=study_row), 0)
    return study_row


@pytest.fixture(scope="session")
def leaky_study(trained: Lab) -> StudyRow:
    """A study that is done, and its only trial was a leak."""
    trained.store.create_study(replace(trained.study_row.study, name="leaky", n_trials=1))
    study_row = trained.store.study("leaky")
    _enqueue(replace(trained, study_row=study_row), 0)
    worker_id = trained.store.register_worker(name="gpu0", device="cpu", versions={})
    claim = trained.store.claim_next(study_row.id, worker_id, lease_s=600)
    result = TrialResult(
        state=TrialState.LEAK,
        layout_end=LAYOUT,
        depth_end=2,
        n_params=1,
        val_loss=None,
        best_val_loss=None,
        bits_per_byte=None,
        flops=1,
        tokens=1,
        steps=1,
        elapsed_s=1.0,
    )
    trained.store.finish(claim, result, [], [])
    return study_row


def _study(corpus: Path) -> Study:
    return study_from_mapping(
        {
            "name": "tiny",
            "n_trials": 3,
            "data": {"path": str(corpus), "val_fraction": 0.1},
            "layouts": {"d_model": 16, "depth": [1, 2], "blocks": ["attn", "mlp"]},
            "budget": {"steps": 24},
            "train": {"batch_size": 4, "seq_len": 16, "eval_every": 6, "dropout": 0.1},
            # a growth at the first check and none after it
            "growth": {
                "trigger": "stagnation",
                "tau_crit": 0.0,
                "kappa_crit": 0.0,
                "patience": 1,
                "threshold": 10.0,
                "warmup_steps": 12,
                "history_window_size": 3,
                "collect_interval_steps": 2,
                "k_subspace": 2,
                "ell_orth": 1,
                "freeze_steps": 2,
                "max_depth": 4,
            },
        }
    )


def _enqueue(lab: Lab, number: int) -> None:
    study = lab.study_row.study
    spec = TrialSpec(
        layout=str(complete(parse(LAYOUT))),
        data=study.data,
        train=TrainSpec(**{name: domain.value for name, domain in study.train.items()}),
        growth=growth_spec({name: domain.value for name, domain in study.growth.items()}),
        budget=study.budget,
        curriculum=(),
        seed=number,
    )
    by_hand = Decision(number=number, seed=1, origin="random", parent=None, mutation="", finished=(), running=())
    lab.store.enqueue(lab.study_row.id, Proposal(spec=spec, layout=LAYOUT, depth=2, params={}, decision=by_hand))


def _train_next(lab: Lab) -> None:
    worker_id = lab.store.register_worker(name="gpu0", device="cpu", versions={})
    claim = lab.store.claim_next(lab.study_row.id, worker_id, lease_s=600)
    run_trial(
        claim.spec,
        load_corpus(claim.spec.data),
        LeasedRecorder(lab.store, claim, on_begin=lambda step, note: None, on_progress=lambda progress: None),
        device=CPU,
        folder=CheckpointFolder(lab.artifacts, f"tiny/trial-{claim.number}"),
    )
