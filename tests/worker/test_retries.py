"""A trial that ends with an error is retried, failed or handed back, by what the error says. In real processes."""

import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import pytest
import torch

from growlab.errors import UsageError
from growlab.preparation.checking import prepare
from growlab.records import EndReason, TrialState
from growlab.storage import AttemptRow, Store, TrialRow
from growlab.study.file import read_study_file
from growlab.worker.display import LineDisplay
from growlab.worker.supervisor import WorkerOptions, serve

STORAGE = "sqlite:///growlab.db"
CRASHED = EndReason.CRASHED

STUDY = """
name: faults
data: {path: corpus.txt, val_fraction: 0.1}
layouts:
  blocks: {conv: {kernel: 3}, faulty: {}, mlp: {}}
  d_model: 16
  depth: [2, 3]
  start_with: [d=16 conv mlp, d=16 faulty mlp, d=16 conv mlp mlp]
train: {batch_size: 4, seq_len: 16}
growth: {trigger: never}
budget: {steps: 8}
"""

# a block that does what is put in the place of FAULT; `attempt` counts its forward passes from 1
PLUGIN = """
import os
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from growlab.blocks import Mixer
from growlab.kinds import Cost, register_block
from growlab.training import device

HERE = Path(__file__).parent
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Options:
    def check(self, d_model):
        pass


def cost(d_model, options, seq_len):
    return Cost(n_params=d_model**2, matmul_flops=2 * seq_len * d_model**2, other_flops=0, activations=0, state_size=0)


@register_block("faulty", role="sequence", summary="fails", options=Options, cost=cost)
class Faulty(Mixer):
    def __init__(self, d_model, options):
        super().__init__(d_model, options)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x):
        with (HERE / "forwards").open("a") as file:
            print(os.getpid(), file=file)
        attempt = len((HERE / "forwards").read_text().splitlines())
        FAULT
        return self.out_proj(x)
"""


@dataclass(frozen=True)
class Found:
    trials: list[TrialRow]
    attempts: list[list[AttemptRow]]
    trainers: list[str]  # the id of the process of each forward pass of the faulty block
    log: str  # of the worker


Faults = Callable[..., Found]


@pytest.fixture
def run_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds_as_they_were: None, forked: None) -> Faults:
    """Train a study of three trials to its end, the second of which has the fault."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("".join(f"{at} the quick brown fox jumps over the dog\n" for at in range(60)))
    (tmp_path / "study.yaml").write_text(STUDY)

    def run(
        fault: str,
        *,
        n_trials: int = 3,
        device: str = "cpu",
        deterministic: bool = False,
        checkpoint_every_s: float = 5.0,
        meanwhile: Callable[[Store], object] = bool,
    ) -> Found:
        plugin = tmp_path / "faulty.py"
        plugin.write_text(PLUGIN.replace("FAULT", fault.strip()))
        study, _ = prepare(read_study_file(tmp_path / "study.yaml", [f"n_trials={n_trials}"]), [plugin], print)
        with Store.open(STORAGE, create=True) as store:
            store.create_study(study)
            other = Thread(target=meanwhile, args=(store,))
            other.start()
            options = WorkerOptions(
                storage_url=STORAGE,
                artifacts=tmp_path / "artifacts",
                device=device,
                n_threads=1,
                checkpoint_every_s=checkpoint_every_s,
                plugins=(plugin,),
                deterministic=deterministic,
            )
            log = io.StringIO()
            serve("faults", options, LineDisplay(log))
            other.join()
            trials = store.trials(store.study("faults").id)
            forwards = (tmp_path / "forwards").read_text().split()
            return Found(trials, [store.attempts(trial.id) for trial in trials], forwards, log.getvalue())

    return run


def test_an_error_costs_an_attempt_of_its_trial_alone_and_after_one_of_cuda_the_process_is_another(
    run_with: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU stands for a GPU: first it fails, then others hold half of its 80 GiB, then all is well."""
    monkeypatch.setattr("growlab.worker.supervisor.CROWDED_PAUSE_S", 0.2)
    error = "CUDA error: an illegal memory access was encountered"
    no_room = "CUDA out of memory. Tried to allocate 2 GiB"
    half = "device.DeviceMemory(total=80 * GIB, free=0, reserved=39 * GIB, peak=39 * GIB)"

    found = run_with(
        f"""
        device.device_memory = lambda _: {half}
        if attempt == 1: raise torch.AcceleratorError({error!r})
        if attempt == 2: raise torch.OutOfMemoryError({no_room!r})
        """
    )

    assert [trial.state for trial in found.trials] == [TrialState.COMPLETED] * 3
    assert [len(each) for each in found.attempts] == [1, 3, 1]
    failed, crowded, finished = found.attempts[1]
    assert [failed.end_reason, crowded.end_reason, finished.end_reason] == [CRASHED, CRASHED, EndReason.FINISHED]
    assert failed.note.startswith(f"AcceleratorError: {error}\nTraceback")
    assert crowded.note.startswith("out of memory beside others, which hold 40.5 GiB of the device's 80.0 GiB")
    assert no_room in crowded.note
    before, beside_others, after = found.trainers[:3]
    assert before != beside_others == after


@pytest.mark.slow
def test_a_device_that_fails_after_a_trial_does_not_cost_the_next_one_an_attempt(run_with: Faults) -> None:
    found = run_with(
        """
        def fail(_): raise torch.AcceleratorError("CUDA error: unspecified launch failure")
        device.free_memory = fail
        """
    )

    assert [trial.state for trial in found.trials] == [TrialState.COMPLETED] * 3
    assert [len(each) for each in found.attempts] == [1, 1, 1]


def test_a_trial_that_is_too_large_fails_and_leaves_no_checkpoint(run_with: Faults, tmp_path: Path) -> None:
    found = run_with(
        "if attempt == 12: raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')",
        n_trials=2,
        checkpoint_every_s=0.0,
    )

    assert [trial.state for trial in found.trials] == [TrialState.COMPLETED, TrialState.FAILED]
    assert found.trials[1].error == "out of memory: CUDA out of memory. Tried to allocate 2 GiB"
    assert list(tmp_path.glob("artifacts/*/00000/model-*"))
    assert not list(tmp_path.glob("artifacts/*/*/checkpoint-*"))


@pytest.mark.slow
def test_a_trial_that_is_too_large_but_already_lost_costs_its_worker_nothing(run_with: Faults) -> None:
    """Another worker takes the trial in the moment before: what the first finds out counts no more."""
    found = run_with(
        """
        if attempt == 1:
            import sqlite3
            with sqlite3.connect("growlab.db") as connection:
                connection.execute("UPDATE gl_trials SET epoch = epoch + 1, lease_expires_at = 0 WHERE number = 1")
            connection.close()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        """
    )

    assert [trial.state for trial in found.trials] == [TrialState.COMPLETED] * 3
    assert [len(each) for each in found.attempts] == [1, 2, 1]
    assert found.attempts[1][0].end_reason is EndReason.LOST


def test_an_operation_that_cannot_be_deterministic_is_named_and_costs_the_trial_nothing(run_with: Faults) -> None:
    chance = "torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))"

    with pytest.raises(UsageError, match="--deterministic: put_ has no deterministic form on this device; leave --det"):
        run_with(chance, n_trials=2, deterministic=True)

    with Store.open(STORAGE) as store:
        completed, refused = store.trials(store.study("faults").id)
        (attempt,) = store.attempts(refused.id)
    assert completed.state is TrialState.COMPLETED
    assert (refused.state, refused.strikes) == (TrialState.QUEUED, 0)
    assert (attempt.end_reason, attempt.note[:21]) == (EndReason.STOPPED, "--deterministic: put_")
    assert [each["deterministic"] for each in _versions_of_workers()] == ["true"]


# ---- on a GPU --------------------------------------------------------------------------------------------------


@pytest.mark.gpu
def test_a_trial_that_trips_an_assertion_of_the_gpu_fails_alone(run_with: Faults) -> None:
    beyond = "x = x + F.embedding(torch.full((1,), 10**6, device=x.device), self.out_proj.weight)"

    found = run_with(beyond, device="cuda")

    assert [trial.state for trial in found.trials] == [TrialState.COMPLETED, TrialState.FAILED, TrialState.COMPLETED]
    assert [len(each) for each in found.attempts] == [1, 3, 1]
    assert [attempt.end_reason for attempt in found.attempts[1]] == [CRASHED] * 3
    assert "CUDA error" in found.trials[1].error  # of the assertion, or of the call that met the dead device


@pytest.mark.gpu
def test_a_trial_that_a_neighbour_left_no_memory_is_trained_when_it_has_gone(run_with: Faults) -> None:
    torch.cuda.init()
    free, _ = torch.cuda.mem_get_info()
    held = [torch.empty(free - 3 * 2**30, dtype=torch.uint8, device="cuda")]

    def leave_when_it_was_tried(store: Store) -> None:
        until = monotonic() + 60
        while monotonic() < until and not _crowded(store):
            sleep(0.2)
        held.clear()
        torch.cuda.empty_cache()

    found = run_with(
        "wide = torch.empty(6 * GIB, dtype=torch.uint8, device=x.device)",
        n_trials=2,
        device="cuda",
        meanwhile=leave_when_it_was_tried,
    )

    assert [trial.state for trial in found.trials] == [TrialState.COMPLETED] * 2
    assert found.attempts[1][0].note.startswith("out of memory beside others")


@pytest.mark.gpu
def test_a_trial_that_alone_does_not_fit_fails_at_once(run_with: Faults) -> None:
    found = run_with("torch.empty(10**12, dtype=torch.uint8, device=x.device)", n_trials=2, device="cuda")

    assert [trial.state for trial in found.trials] == [TrialState.COMPLETED, TrialState.FAILED]
    assert len(found.attempts[1]) == 1
    assert found.trials[1].error.startswith("out of memory: ")


@pytest.mark.gpu
def test_a_trial_that_runs_out_of_memory_while_a_step_is_recorded_fails_and_another_process_trains_the_next(
    run_with: Faults,
) -> None:
    found = run_with(
        "if torch.cuda.is_current_stream_capturing(): torch.empty(10**12, dtype=torch.uint8, device=x.device)",
        device="cuda",
    )

    assert [trial.state for trial in found.trials] == [TrialState.COMPLETED, TrialState.FAILED, TrialState.COMPLETED]
    assert [len(each) for each in found.attempts] == [1, 1, 1]
    assert found.trials[1].error.startswith("out of memory: ")
    assert found.log.count("another trainer takes over: a recording") == 1


def _versions_of_workers() -> list[dict[str, str]]:
    with closing(sqlite3.connect("growlab.db")) as connection:
        return [json.loads(row[0]) for row in connection.execute("SELECT versions FROM gl_workers")]


def _crowded(store: Store) -> bool:
    trials = store.trials(store.study("faults").id)
    return any(attempt.end_reason is CRASHED for each in trials for attempt in store.attempts(each.id))
