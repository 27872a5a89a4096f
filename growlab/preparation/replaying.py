"""Every decision of a stored study made again, and compared with its row: proposals, promotions, stops at marks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growlab.preparation.confirming import ORIGIN
from growlab.preparation.differences import differing, shown
from growlab.preparation.telling import Tell
from growlab.proposal import Proposal
from growlab.records import ADDED, TOLD, Decision, EarlyStop, Promotion

if TYPE_CHECKING:
    from growlab.search.limits import Measure
    from growlab.storage import Store, StudyRow, TrialRow
    from growlab.study import Study

_MOST_KEYS = 5
_BY_HAND = (ORIGIN, ADDED, TOLD)  # origins of what nobody searched for


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """A trial whose proposal, or promotion at a rung or stop at a mark, came out otherwise."""

    trial: int
    keys: Mapping[str, tuple[Any, Any]]  # by full name, what is stored and what was made again
    rung: int | None = None  # from 0; of a promotion, or a stop
    is_stop: bool = False

    @property
    def line(self) -> str:
        parts = [f"{key} is {shown(stored)} there, {shown(again)} again" for key, (stored, again) in self.keys.items()]
        more = [f"and {len(parts) - _MOST_KEYS} more"] if len(parts) > _MOST_KEYS else []
        at = "" if self.rung is None else f" at {'mark' if self.is_stop else 'rung'} {self.rung + 1}"
        return f"trial {self.trial}{at}: {'; '.join([*parts[:_MOST_KEYS], *more])}"


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What became of a study's proposals, promotions and stops when they were made again."""

    study: str
    n_proposals: int  # that a sampler made
    n_given: int  # trials that nobody searched for
    n_promotions: int  # of trials that waited at a rung
    n_stops: int  # of trials at marks, where they were compared with others
    n_rounded: int  # alike but for the last digits of what was predicted
    deviations: Sequence[Deviation]  # by number, then those of promotions, then those of stops

    @property
    def summary(self) -> str:
        n_stopped = self.n_stops - sum(deviation.is_stop for deviation in self.deviations)
        others = [deviation for deviation in self.deviations if not deviation.is_stop]
        n_otherwise = sum(deviation.rung is None for deviation in others)
        n_same, n_promoted = self.n_proposals - n_otherwise, self.n_promotions - len(others) + n_otherwise
        promoted = f", and {n_promoted} of {self.n_promotions} promotions" if self.n_promotions else ""
        promoted += f", and {n_stopped} of {self.n_stops} stops at marks" if self.n_stops else ""
        given = f"; {self.n_given} more were given, not searched for" if self.n_given else ""
        rounded = f"; in {self.n_rounded} the prediction differs in its last digits" if self.n_rounded else ""
        return f"{n_same} of {self.n_proposals} proposals{promoted} made again, byte for byte{rounded}{given}"


def replay_study(
    store: "Store", row: "StudyRow", *, paths: Sequence[str], storage: str, plugins: Sequence[Path], tell: Tell
) -> Replay:
    """Make every decision of a study again, each from the past that it saw, and compare it with its row.

    A text is read only where a layout's parameters are asked for; `paths` say where it lies here, as data.path=FILE.
    Raises GrowlabError for a kind or a sampler that is not registered here, and for a damaged row.
    """
    from growlab.kinds import KINDS
    from growlab.plugins import load_plugins
    from growlab.search.replay import promote_again, propose_again
    from growlab.search.stopping import stop_again

    load_plugins(plugins)
    trials = store.trials(row.id)
    stored = [_proposal(store, trial) for trial in trials]
    revisions = store.revisions(row.id)
    asked = dict.fromkeys(key for study in (row.study, *revisions) for key in study.metrics)
    past = {trial.number: trial for trial in store.past_trials(row.id, list(asked))}
    searched = [proposal for proposal in stored if proposal.decision.origin not in _BY_HAND]
    measure = _measure(row.study, paths, storage, plugins, tell)
    deviations, n_rounded = [], 0
    for proposal in searched:
        decision = proposal.decision
        again = propose_again(_asked(revisions, decision), decision, past, KINDS, measure)
        keys, is_rounded = compared(proposal, again)
        n_rounded += is_rounded
        if keys:
            deviations.append(Deviation(trial=proposal.number, keys=keys))
    promotions = store.all_promotions(row.id)
    for promotion in promotions:
        promoted = promote_again(_asked(revisions, promotion), promotion, past, KINDS, measure)
        keys, is_rounded = compared_promotions(promotion, promoted)
        n_rounded += is_rounded
        if keys:
            deviations.append(Deviation(trial=promotion.trial, rung=promotion.rung, keys=keys))
    stops = {number: stop for number, stop in store.stops(row.id).items() if stop.rule == "median"}
    for number, stop in stops.items():
        keys = compared_stops(stop, stop_again(_asked(revisions, stop), number, stop, past, KINDS, measure))
        if keys:
            deviations.append(Deviation(trial=number, rung=stop.rung, keys=keys, is_stop=True))
    return Replay(
        study=row.study.name,
        n_proposals=len(searched),
        n_given=len(stored) - len(searched),
        n_promotions=len(promotions),
        n_stops=len(stops),
        n_rounded=n_rounded,
        deviations=deviations,
    )


def _asked(revisions: "Sequence[Study]", decision: Decision | Promotion | EarlyStop) -> "Study":
    """The study as it was when it was asked."""
    return revisions[min(decision.revision, len(revisions) - 1)]


def compared(stored: Proposal, again: Proposal) -> tuple[dict[str, tuple[Any, Any]], bool]:
    """Keys in which two proposals differ as JSON, with both values; and whether they differ only in a rounding.

    A prediction is a sum that another machine may round otherwise; all else is the same to the byte.
    """
    from growlab.search.replay import as_mapping

    before, now = as_mapping(stored), as_mapping(again)
    return _differences(before, now, before["decision"], now["decision"])


def compared_promotions(stored: Promotion, again: Promotion | None) -> tuple[dict[str, tuple[Any, Any]], bool]:
    """The same of two promotions; where none is made again, that."""
    if again is None:
        return {"promoted": (True, False)}, False
    before, now = asdict(stored), asdict(again)
    return _differences(before, now, before, now)


def compared_stops(stored: EarlyStop, again: EarlyStop | None) -> dict[str, tuple[Any, Any]]:
    """Keys in which two stops differ; where none is made again, that. Medians are of what is stored, to the bit."""
    if again is None:
        return {"stopped": (True, False)}
    return {key: (old, new) for key, old, new in differing(asdict(stored), asdict(again))}


def _differences(
    before: dict[str, Any], now: dict[str, Any], stored: dict[str, Any], again: dict[str, Any]
) -> tuple[dict[str, tuple[Any, Any]], bool]:
    """Keys in which two mappings differ, and whether only in the roundings of what their parts predicted."""
    from growlab.search.replay import is_rounding

    if _text(before) == _text(now):
        return {}, False
    if is_rounding(stored["predicted"], again["predicted"]):
        again["predicted"] = stored["predicted"]
        if _text(before) == _text(now):
            return {}, True
    keys = {key: (old, new) for key, old, new in differing(before, now)}
    return keys or {"text": (_text(before), _text(now))}, False  # 1 and 1.0 are equal, and not the same text


def _text(mapping: Mapping[str, Any]) -> str:
    return json.dumps(mapping, sort_keys=True)


def _proposal(store: "Store", trial: "TrialRow") -> Proposal:
    trial.require_sound()
    return Proposal(
        spec=trial.spec,
        layout=trial.layout,
        depth=trial.depth_start,
        params=trial.params,
        decision=store.decision(trial.id),
    )


def _measure(study: "Study", paths: Sequence[str], storage: str, plugins: Sequence[Path], tell: Tell) -> "Measure":
    """Counts a layout's parameters, which depend on the text's vocabulary; that is read when it is first asked for."""
    from growlab.data import load_corpus
    from growlab.model.cost import Costs
    from growlab.preparation.texts import with_texts_here
    from growlab.search.limits import needs_costs

    @cache
    def vocab_size() -> int:
        here = with_texts_here(study, paths, storage, plugins, tell)
        return load_corpus(here.data, here.curriculum).tokenizer.vocab_size

    if needs_costs(study):
        return Costs(vocab_size())
    return lambda layout: Costs(vocab_size())(layout)
