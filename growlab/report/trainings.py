"""The trainings of a stored study, as a table that another one is simulated on (growlab.trainings)."""

import lzma
from collections.abc import Mapping
from pathlib import Path

from growlab.delimited import delimited
from growlab.domains import Fixed
from growlab.errors import UsageError
from growlab.files import write_atomically
from growlab.finite import finite_only
from growlab.metrics import name_of, tells
from growlab.records import LOSSES, PEAK_MEMORY, RungReading, TrialState
from growlab.specs import BudgetSpec
from growlab.storage import Store, StudyRow, TrialRow
from growlab.trainings import PACKED, Training, columns_and_rows, interpolated

SHARES = tuple(at / 20 for at in range(1, 21))  # of the budget, at which curves are told


def read_trainings(store: Store, row: StudyRow) -> list[Training]:
    """Read the trials that are over or wait at a rung, by number; none of those whose results a person told."""
    readings = store.all_readings(row.id)
    keys = [key for key in row.study.metrics if key not in LOSSES and not tells(name_of(key))]
    recorded = store.recorded(row.id, keys) if keys else {}
    return [
        _training(store, trial, readings.get(trial.number, ()), recorded.get(trial.number, {}))
        for trial in store.trials(row.id)
        if (trial.state.is_final or trial.state is TrialState.PAUSED) and not trial.was_told
    ]


def write_trainings(store: Store, row: StudyRow, file: Path) -> int:
    """Write a study's trainings as TSV, packed where the name ends with .xz, and return how many there are.

    Raises UsageError where there are none, or the file cannot be written.
    """
    trainings = read_trainings(store, row)
    if not trainings:
        raise UsageError(f"study {row.study.name!r} has no trial that is over yet; there is nothing to write")
    searched = [name for name, domain in row.study.scalars().items() if not isinstance(domain, Fixed)]
    content = delimited(*columns_and_rows(trainings, searched), "\t").encode()
    try:
        write_atomically(file, lzma.compress(content) if file.suffix == PACKED else content)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from None
    return len(trainings)


def _training(
    store: Store, trial: TrialRow, readings: tuple[RungReading, ...], metrics: Mapping[str, float]
) -> Training:
    trial.require_sound()
    spec, is_paused = trial.spec, trial.state is TrialState.PAUSED
    spent = {name: _by_step(store, trial, "train", name) for name in ("flops", "tokens")}
    spent["steps"] = {step: float(step) for step in spent["flops"]}
    progress = {step: amount / spec.budget.amount for step, amount in spent[spec.budget.unit].items()}
    newest = max([0.0, *spent["flops"].values(), *(reading.flops for reading in readings)])
    flops = newest if trial.flops is None else trial.flops
    peaks = _by_step(store, trial, "train", PEAK_MEMORY)
    return Training(
        layout=spec.layout,
        params=trial.params,
        state=trial.state,
        seed=spec.seed,
        flops=round(flops),
        budget_flops=_budget_flops(trial, spec.budget, flops, progress),
        losses={loss: value for loss in LOSSES if (value := getattr(trial, loss)) is not None},
        metrics=metrics if trial.state is TrialState.COMPLETED else {},
        layout_end=trial.layout_end or "",
        curve=_curve(_by_step(store, trial, "val", "loss"), progress),
        readings=readings,
        elapsed_s=_heard_s(store, trial) if is_paused else trial.elapsed_s,
        peak_memory=peaks[max(peaks)] if peaks else None,
    )


def _by_step(store: Store, trial: TrialRow, split: str, name: str) -> dict[int, float]:
    return finite_only({metric.step: metric.value for metric in store.metrics(trial.id, split, name)})


def _budget_flops(trial: TrialRow, budget: BudgetSpec, flops: float, progress: Mapping[int, float]) -> int:
    """The FLOPs of the whole budget: of steps or tokens, as many as the trial took, or would have at its pace."""
    if budget.unit == "flops":
        return budget.amount
    share = 1.0 if trial.state is TrialState.COMPLETED else max(progress.values(), default=1.0)
    return round(flops / share)


def _curve(val_loss: Mapping[int, float], progress: Mapping[int, float]) -> dict[float, float]:
    """val_loss at SHARES of the budget, as far as they lie between two evaluations."""
    known = {progress[step]: loss for step, loss in sorted(val_loss.items()) if progress.get(step)}
    return {share: loss for share in SHARES if (loss := interpolated(known, share)) is not None}


def _heard_s(store: Store, trial: TrialRow) -> float:
    """The time for which attempts at a trial were heard of."""
    return sum(attempt.heartbeat_at - attempt.started_at for attempt in store.attempts(trial.id))
