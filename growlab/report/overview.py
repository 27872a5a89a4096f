"""How a study stands: its state, what it has spent of what it may, its best trial and its pace."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from growlab import amounts
from growlab.records import TrialState, n_ended
from growlab.report.pace import Pace, pace_of
from growlab.report.title import read_over
from growlab.storage import Store, StudyRow, WorkerRow
from growlab.study import Objective

NOT_BEGUN, RUNNING, SILENT, WAITING, DONE, OVER = "not begun", "running", "silent", "waiting", "done", "over"
_IN_WORDS = {
    RUNNING: "running",
    SILENT: "running, but none of its workers is heard",
    WAITING: "nobody works on it",
    DONE: "done",
}


@dataclass(frozen=True, kw_only=True)
class Overview:
    study: str
    state: str  # not begun; running; silent: no worker that holds a trial is heard; waiting: nobody works; done; over
    over: str  # the limit that ended it before it had all its trials, in words; '' where none did
    created_at: float  # UTC seconds since 1970
    n_trials: int  # that it wants
    counts: Mapping[TrialState, int]
    objectives: tuple[Objective, ...]
    flops: float  # of all trials, readings at rungs included; of one that runs those of its newest checkpoint
    worker_hours: float  # of all attempts, added up, until each ended or was last heard
    elapsed_s: float  # from the first attempt's start to the last sign of life
    limits: Mapping[str, float]  # that it may spend, by flops, gpu_hours and hours
    pace: Pace | None

    @property
    def state_in_words(self) -> str:
        """The state, 'nobody works on it, 12 trials wait at their rungs' where that is why."""
        paused = self.counts.get(TrialState.PAUSED, 0)
        at_rungs = f", {paused} trial{'s wait at their rungs' if paused > 1 else ' waits at its rung'}"
        words = f"over: {self.over}" if self.state == OVER else _IN_WORDS.get(self.state, self.state)
        return words + (at_rungs if paused and self.state == WAITING else "")

    @property
    def spent_in_words(self) -> str:
        """What was spent, and of how much: 'spent 1.73 TFLOPs of 2.00 TFLOPs in 2 min 35 s'."""
        if not self.elapsed_s:
            return ""
        flops = amounts.flops(self.flops) + self._of("flops", amounts.flops)
        work = f"{amounts.duration(self.worker_hours * 3600)} of work"
        work += self._of("gpu_hours", lambda hours: amounts.duration(hours * 3600))
        took = amounts.duration(self.elapsed_s) + self._of("hours", lambda hours: amounts.duration(hours * 3600))
        return f"spent {flops} and {work} in {took}"

    def _of(self, unit: str, text_of: Callable[[float], str]) -> str:
        return f" of {text_of(self.limits[unit])}" if unit in self.limits else ""


def read_overview(
    store: Store, row: StudyRow, counts: Mapping[TrialState, int], workers: Sequence[WorkerRow]
) -> Overview:
    """Read how a study with so many trials in a state and these workers stands."""
    times = store.attempt_times(row.id)
    over = read_over(store, row)
    return Overview(
        study=row.study.name,
        state=_state(counts, workers, row.study.n_trials, bool(times), bool(over)),
        over=over,
        created_at=row.created_at,
        n_trials=row.study.n_trials,
        counts=counts,
        objectives=row.study.objectives,
        flops=store.spent(row.id).flops,
        worker_hours=sum(end - start for start, end in times) / 3600,
        elapsed_s=max(end for _, end in times) - min(start for start, _ in times) if times else 0.0,
        limits=row.study.limits.budget,
        pace=pace_of(times, n_ended(counts) - store.n_told(row.id)),
    )


def _state(
    counts: Mapping[TrialState, int], workers: Sequence[WorkerRow], n_trials: int, has_begun: bool, is_over: bool
) -> str:
    held = [worker for worker in workers if worker.lease_left_s is not None]
    if any(worker.lease_left_s is not None and worker.lease_left_s >= 0 for worker in held):
        return RUNNING
    if held:
        return SILENT
    if is_over:
        return OVER
    if n_ended(counts) >= n_trials:
        return DONE
    if any(worker.is_heard for worker in workers):
        return RUNNING  # between two trials
    return WAITING if has_begun else NOT_BEGUN
