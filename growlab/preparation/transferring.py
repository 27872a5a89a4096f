"""What a study that is to be created takes over from another one: its trials as they are now, kept with the new one."""

from dataclasses import replace
from typing import TYPE_CHECKING

from growlab.errors import NotFound, UsageError
from growlab.preparation.telling import Tell
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.records import PastTrial
    from growlab.storage import Store, StudyRow
    from growlab.study import Study

KEY = "sampler.transfer_from"


def with_transferred(store: "Store", study: "Study", tell: Tell) -> "Study":
    """Give a study what the one of sampler.transfer_from found, where it names one.

    What happens to that one later changes nothing. Raises NotFound where it is not there, UsageError where it is not
    over, or where too little of it completed to learn from.
    """
    from growlab.domains import Fixed
    from growlab.search.past import grouped, loss_of
    from growlab.study import Transferred

    source = study.sampler.transfer_from
    if not source:
        return study
    try:
        row = store.study(source)
    except NotFound as error:
        raise NotFound(f"{KEY}: {error}") from None
    _require_over(store, row)
    past = grouped(store.past_trials(row.id, row.study.metrics), row.study.repeats)
    trials = tuple(trial for trial in past if trial.state.is_final and loss_of(trial) < float("inf"))
    _require_enough(source, trials)
    scalars = {name: domain for name, domain in row.study.scalars().items() if not isinstance(domain, Fixed)}
    of = f" of {row.study.loss}, its first objective" if len(row.study.objectives) > 1 else ""
    tell(f"{len(trials)} trials of {source!r} are kept with study {study.name!r}, which begins with what they say{of}")
    transferred = Transferred(scalars=scalars, trials=trials)
    return replace(study, sampler=replace(study.sampler, transferred=transferred))


def _require_over(store: "Store", row: "StudyRow") -> None:
    """Raise UsageError while the study has trials to come."""
    from growlab.preparation.remaining import n_unfinished
    from growlab.records import TrialState, n_ended

    counts, n_trials = store.counts(row.id), store.n_trials(row.id)
    if counts[TrialState.RUNNING] or not (store.why_over(row.id) or n_unfinished(store, row) == 0):
        n_done, n_made = n_ended(counts), sum(counts.values())
        end = command("study set", row.study.name, f"n_trials={n_made}", options=store.options)
        remedy = f"have it want no more: {end}" if n_made else "name another study"
        raise UsageError(
            f"{KEY}: study {row.study.name!r} must be over, as what it found is kept once for all; {n_done} of its "
            f"{n_trials} trials have ended. Let its workers finish, or {remedy}"
        )


def _require_enough(source: str, trials: "tuple[PastTrial, ...]") -> None:
    from growlab.search.model.outlook import LEAST

    if len(trials) < LEAST or len({trial.value for trial in trials}) < 2:
        raise UsageError(
            f"{KEY}: study {source!r} must have at least {LEAST} completed trials with different results to learn "
            f"from, got {len(trials)}; leave it out, or name another study"
        )
