"""A study in a real SQLite database, filled through the store's own door, as workers fill it."""

import io
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from growlab.proposal import Proposal
from growlab.records import Artifact, Decision, EndReason, Fact, Metric, TrialResult, TrialState
from growlab.scalar import with_defaults
from growlab.specs import BudgetSpec, DataSpec, StageSpec, TrainSpec, TrialSpec
from growlab.storage import Store, StudyRow, TrialRow
from growlab.study.growth_section import growth_with
from growlab.study.reading import study_from_mapping

LAYOUT = "d=8 attn[n_heads=2] mlp"


class Terminal(io.StringIO):
    """What rich takes for a terminal; COLUMNS says how wide it is."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """What is seen, without styles."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue()).splitlines()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Terminal]:
    def open_terminal(width: int) -> Terminal:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("NO_COLOR", "1")
        return Terminal()

    return open_terminal


# ---- trials as values ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def trial_of() -> Callable[..., TrialRow]:
    """A completed trial of which a test says only what it is about."""

    def make(number: int, **changes: Any) -> TrialRow:
        row = {
            "id": number + 1,
            "study_id": 1,
            "number": number,
            "state": TrialState.COMPLETED,
            "layout": LAYOUT,
            "layout_hash": "0" * 16,
            "params": {},
            "spec_json": "{}",
            "seed": None,
            "paused_budget": None,
            "depth_start": 2,
            "epoch": 1,
            "strikes": 0,
            "may_pass": 0,
            "lease_left_s": None,
            "created_at": 0.0,
            "started_at": 0.0,
            "ended_at": 10.0,
            "newest_step": 100,
            "newest_val_loss": 2.0,
            "newest_accuracy": None,
            "paused_mark": None,
            "paused_val_loss": None,
            "layout_end": LAYOUT,
            "depth_end": 2,
            "n_params": 1000,
            "val_loss": 2.0,
            "best_val_loss": 2.0,
            "bits_per_byte": 2.9,
            "flops": 10**6,
            "tokens": 1000,
            "steps": 100,
            "elapsed_s": 10.0,
            "sample": "",
            "error": "",
            "engine": "eager",
        }
        return TrialRow(**(row | changes))

    return make


OPEN = dict.fromkeys(
    ("layout_end", "depth_end", "n_params", "val_loss", "best_val_loss", "bits_per_byte", "flops", "tokens", "steps"),
    None,
) | {"elapsed_s": None, "ended_at": None, "engine": ""}


@pytest.fixture(scope="session")
def open_trial_of(trial_of: Callable[..., TrialRow]) -> Callable[..., TrialRow]:
    """A trial without a result: running, unless a test says otherwise."""
    return lambda number, **changes: trial_of(number, **({"state": TrialState.RUNNING} | OPEN | changes))


# ---- trials in a database --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "empty.db"
    Store.open(f"sqlite:///{path}", create=True).close()
    return path


@pytest.fixture
def store(empty_database: Path, tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(f"sqlite:///{shutil.copy(empty_database, tmp_path / 'growlab.db')}")) as store:
        yield store


@pytest.fixture
def study_row(store: Store) -> StudyRow:
    store.create_study(
        study_from_mapping(
            {
                "name": "nightly",
                "n_trials": 10,
                "layouts": {"d_model": 8, "depth": [1, 2], "blocks": ["attn", "mlp"]},
                "budget": {"steps": 100},
                "train": {"lr": "search"},
            }
        )
    )
    return store.study("nightly")


@pytest.fixture
def run_trial(store: Store, study_row: StudyRow) -> Callable[..., None]:
    """Enqueue a trial, claim it, record facts, finish it; without a result it goes on running, or pauses at a rung.

    After three crashes it has failed, and there is nothing left to run.
    """
    worker_id = store.register_worker(name="gpu0", device="cuda:0", versions={})

    def run(
        number: int,
        *,
        facts: Sequence[Fact] = (),
        result: TrialResult | None = None,
        pauses: bool = False,
        decision: Decision | None = None,
        crashes: Sequence[str] = (),
        layout: str = LAYOUT,
        curriculum: tuple[StageSpec, ...] = (),
    ) -> None:
        store.enqueue(
            study_row.id,
            Proposal(
                spec=replace(_spec(), curriculum=curriculum),
                layout=layout,
                depth=2,
                params={"train.lr": 0.00312249, "growth.patience": 4},
                decision=replace(decision or _random(number), number=number),
            ),
        )
        for words in crashes:
            store.release(store.claim_next(study_row.id, worker_id, lease_s=60), EndReason.CRASHED, words)
        claim = store.claim_next(study_row.id, worker_id, lease_s=60)
        if claim is None:
            return
        if result is None:
            checkpoint = Artifact(kind="checkpoint", step=1, path="c", sha256="0" * 64, n_bytes=1)
            (store.pause if pauses else store.commit)(claim, facts, checkpoint)
        else:
            store.finish(claim, result, facts, [])

    return run


@pytest.fixture(scope="session")
def result_of() -> Callable[..., TrialResult]:
    def make(**changes: Any) -> TrialResult:
        result = {
            "state": TrialState.COMPLETED,
            "layout_end": "d=8 (attn[n_heads=2] mlp)x2",
            "depth_end": 4,
            "n_params": 1_234_567,
            "val_loss": 1.4697,
            "best_val_loss": 1.4603,
            "bits_per_byte": 2.1203,
            "flops": 4_500_000_000_000,
            "tokens": 12_345_678,
            "steps": 100,
            "elapsed_s": 80.0,
            "engine": "eager",
        }
        return TrialResult(**(result | changes))

    return make


@pytest.fixture(scope="session")
def losses() -> list[Metric]:
    """Four evaluations, 1,000 tokens apart."""
    return [
        Metric(step=step, split=split, name=name, value=value)
        for step in (25, 50, 75, 100)
        for split, name, value in (
            ("train", "loss", 3 - step / 100),
            ("train", "tokens", 40 * step),
            ("val", "loss", 3.1 - step / 100),
        )
    ]


@pytest.fixture(scope="session")
def trial_spec() -> TrialSpec:
    return _spec()


def _spec() -> TrialSpec:
    return TrialSpec(
        layout="d=8 attn[heads_per_kv=1,n_heads=2] mlp[expand=2.5]",
        data=with_defaults(DataSpec, path="", val_fraction=0.05, test_fraction=0.1),
        train=with_defaults(TrainSpec),
        growth=growth_with(trigger="stagnation"),
        budget=BudgetSpec(unit="steps", amount=100),
        curriculum=(),
        seed=7,
    )


def _random(number: int) -> Decision:
    return Decision(number=number, seed=1, origin="random", parent=None, mutation="", finished=(), running=())
