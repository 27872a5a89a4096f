"""The best trials of a study again on fresh seeds, as a study of their own that holds nothing else.

Its trials are in the queue from the moment at which it is there, all of them, so that no sampler ever adds one.
Numbers are by winner and then by seed: winner × seeds + seed.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import count
from statistics import fmean
from typing import TYPE_CHECKING

from growlab.errors import NotFound, UsageError
from growlab.finite import finite
from growlab.preparation.fronts import is_eligible
from growlab.preparation.telling import Tell
from growlab.proposal import Proposal
from growlab.records import Decision, TrialState
from growlab.seeds import derived_seed
from growlab.study import Limits
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.storage import Store, StudyRow, TrialRow

ORIGIN = "given"
_HOW = "again on a fresh seed"  # the mutation on record: what marks a trial as a winner's


@dataclass(frozen=True, kw_only=True)
class Winner:
    """A configuration of a search, and what that claims of it."""

    trial: "TrialRow"  # its best
    claimed: float  # the objective; of a configuration that was repeated the mean

    @property
    def number(self) -> int:
        return self.trial.number


def name_of_confirmation(study: str) -> str:
    return f"{study}-confirm"


def ranked_winners(store: "Store", row: "StudyRow") -> list[Winner]:
    """The configurations of a study that completed, the best first: trials that differ in the seed alone are one.

    By the first objective; those beyond a constraint are none.
    """
    objective, may_win = row.study.objective.metric, is_eligible(store, row)
    trials: dict[str, list[tuple[float, TrialRow]]] = {}
    for trial in store.trials(row.id):
        value = finite(getattr(trial, objective)) if trial.state is TrialState.COMPLETED else None
        if value is not None and may_win(trial):
            without_seed = json.dumps({**trial.spec_mapping, "seed": None}, sort_keys=True)
            trials.setdefault(without_seed, []).append((value, trial))
    winners = [
        Winner(
            trial=min(found, key=lambda pair: (pair[0], pair[1].number))[1],
            claimed=fmean(value for value, _ in found),
        )
        for found in trials.values()
    ]
    return sorted(winners, key=lambda winner: (winner.claimed, winner.number))


def find_or_confirm(store: "Store", row: "StudyRow", top: int, n_seeds: int, tell: Tell) -> "StudyRow":
    """Find the study that confirms this one's best trials, or create it with all its trials.

    Raises NotFound where nothing completed, UsageError where the stored one confirms another number of trials, on
    another number of seeds, or is none.
    """
    winners = ranked_winners(store, row)
    if not winners:
        raise NotFound(f"study {row.study.name!r} has no completed trial to confirm yet")
    if len(row.study.objectives) > 1:
        tell(f"study {row.study.name!r} has several objectives; its best by the first, {row.study.loss}, are confirmed")
    if len(winners) < top:
        tell(
            f"study {row.study.name!r} has {len(winners)} different trial(s) that completed; all of them are confirmed"
        )
    winners = winners[:top]
    name = name_of_confirmation(row.study.name)
    if name in {summary.name for summary in store.studies()}:
        confirming = store.study(name)
        _require_same(store, confirming, winners, n_seeds, row.study.name)
        return confirming
    seeds = fresh_seeds(row.study.seed, n_seeds, {trial.spec_mapping["seed"] for trial in store.trials(row.id)})
    given = [
        _proposal(winner.trial, at * n_seeds + repeat, seed)
        for at, winner in enumerate(winners)
        for repeat, seed in enumerate(seeds)
    ]
    whole = replace(row.study, name=name, n_trials=len(given), limits=Limits(), rungs=None)  # each to its end
    store.create_study(whole, given)
    tell(
        f"created study {name!r} in {store.url}: {len(winners)} trial(s) of {row.study.name!r} on {n_seeds} fresh seeds"
    )
    return store.study(name)


def fresh_seeds(study_seed: int, n: int, searched: Collection[int]) -> list[int]:
    """Seeds of 31 bits that the search did not see, the same ones each time."""
    seeds: list[int] = []
    candidates = (derived_seed(study_seed, at, "confirm") for at in count())
    while len(seeds) < n:
        if (seed := next(candidates)) not in searched and seed not in seeds:
            seeds.append(seed)
    return seeds


def confirmed_number(store: "Store", trial: "TrialRow") -> int | None:
    """The number of the search's trial that this one confirms; None of a trial that confirms none."""
    decision = store.decision(trial.id)
    return decision.parent if (decision.origin, decision.mutation) == (ORIGIN, _HOW) else None


def confirms(store: "Store", row: "StudyRow") -> bool:
    """Whether a study holds the winners of another one, and nothing else."""
    trials = store.trials(row.id)
    return bool(trials) and all(confirmed_number(store, trial) is not None for trial in trials)


def refuse_more_trials(store: "Store", row: "StudyRow") -> None:
    """Raise UsageError for a study that confirms winners: a sampler would propose what is added to it."""
    if confirms(store, row):
        raise UsageError(
            f"study {row.study.name!r} holds the winners of a search, on fresh seeds, and nothing else; "
            f"for other ones delete it: {command('study delete', row.study.name, options=store.options)}"
        )


def _proposal(trial: "TrialRow", number: int, seed: int) -> Proposal:
    return Proposal(
        spec=replace(trial.spec, seed=seed),
        layout=trial.layout,
        depth=trial.depth_start,
        params=trial.params,
        decision=Decision(
            number=number, seed=seed, origin=ORIGIN, parent=trial.number, mutation=_HOW, finished=(), running=()
        ),
    )


def _require_same(
    store: "Store", confirming: "StudyRow", winners: Sequence[Winner], n_seeds: int, searched: str
) -> None:
    """Raise UsageError unless the stored study confirms as many trials on as many seeds.

    Which ones they are stays as it was: a search that went on meanwhile may have others by now.
    """
    name = confirming.study.name
    other = f"to make it anew: {command('study delete', name, options=store.options)}"
    if not confirms(store, confirming):
        raise UsageError(f"study {name!r} exists and does not confirm trials of {searched!r}; {other}")
    trials = store.trials(confirming.id)
    n_winners = len({confirmed_number(store, trial) for trial in trials})
    if (n_winners, len(trials)) != (len(winners), len(winners) * n_seeds):
        raise UsageError(
            f"study {name!r} confirms {n_winners} trial(s) on {len(trials) // n_winners} seed(s), not "
            f"{len(winners)} on {n_seeds}; go on with --top {n_winners} --seeds {len(trials) // n_winners}, or {other}"
        )
