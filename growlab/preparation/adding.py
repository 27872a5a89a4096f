"""What a person knows, put into a search: a trial to try, results from elsewhere, the best of another study."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growlab.errors import UsageError
from growlab.finite import finite
from growlab.preparation.confirming import ranked_winners, refuse_more_trials
from growlab.preparation.results_file import PastResult, read_results
from growlab.preparation.telling import Tell
from growlab.records import TrialState

if TYPE_CHECKING:
    from growlab.domains import Value
    from growlab.model.cost import Costs
    from growlab.proposal import Proposal
    from growlab.records import PastTrial
    from growlab.storage import Store, StudyRow, TrialRow
    from growlab.study import Study


@dataclass(frozen=True, kw_only=True)
class Added:
    """Trials that were added to a study."""

    numbers: Sequence[int]
    n_trials: int  # of the study, as it is now
    n_trials_before: int

    @property
    def raised(self) -> str:
        """The end of a note: '; n_trials 2 → 3', or '' where that stayed as it was."""
        return "" if self.n_trials == self.n_trials_before else f"; n_trials {self.n_trials_before} → {self.n_trials}"


def read_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Read what `--set train.lr=1e-3` says. Raises UsageError."""
    from growlab.yaml_file import parse_yaml

    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not (name and equals):
            raise UsageError(f"--set {setting!r}: write it like train.lr=1e-3")
        values[name] = parse_yaml(text)
    return values


def add_trial(
    store: "Store", name: str, layout: str, values: Mapping[str, Any], storage: str, plugins: Sequence[Path], tell: Tell
) -> Added:
    """Put a trial into the queue of a stored study, with these values of searched scalars; the others are drawn.

    Raises NotFound, and UsageError for what the study could not have in layouts.start_with.
    """
    from growlab.kinds import KINDS
    from growlab.plugins import load_plugins
    from growlab.search.adding import added_proposal, checked_layout, read_values, refuse_additions, takes_a_place

    load_plugins(plugins)
    while True:  # another process may take the number
        row = store.study(name)
        refuse_more_trials(store, row)
        refuse_additions(row.study)
        complete = checked_layout(row.study, layout, KINDS, "")
        given = read_values(row.study, values)
        past = store.past_trials(row.id, row.study.metrics)
        costs = _costs(row.study, storage, plugins, tell)
        proposal = added_proposal(row.study, past, complete, given, KINDS, measure=costs)
        n_trials = store.add_trials(row.id, [proposal], takes_places=takes_a_place(row.study))
        if n_trials is not None:
            return Added(numbers=[proposal.number], n_trials=n_trials, n_trials_before=row.study.n_trials)


def _costs(study: "Study", storage: str, plugins: Sequence[Path], tell: Tell) -> "Costs | None":
    """What layouts cost over the study's vocabulary; None, and no text is read, where it limits nothing."""
    from growlab.data import load_corpus
    from growlab.model.cost import Costs
    from growlab.preparation.texts import with_found_texts
    from growlab.search.adding import is_limited

    if not is_limited(study):
        return None
    here = with_found_texts(study, storage, plugins, tell)
    return Costs(load_corpus(here.data, here.curriculum).tokenizer.vocab_size)


def import_results(store: "Store", name: str, path: Path, plugins: Sequence[Path], tell: Tell) -> Added:
    """Add the results in a table to a stored study, as trials that are over and that nobody trained here.

    Those that were told before are left out. Raises NotFound, and UsageError with the line of what the study could not
    have tried.
    """
    from growlab.metrics import name_of, tells
    from growlab.plugins import load_plugins
    from growlab.search.adding import refuse_additions

    load_plugins(plugins)
    while True:
        row = store.study(name)
        refuse_more_trials(store, row)
        refuse_additions(row.study)
        recorded = [key for key in row.study.metrics if not tells(name_of(key))]
        table = read_results(path, row.study.objective.metric, recorded)
        told = _told_before(store, row)
        past = store.past_trials(row.id, row.study.metrics)
        made = [(proposal, result) for proposal, result in _told(row.study, past, table.results, path, told)]
        results = [(proposal, result.state, result.metrics) for proposal, result in made]
        n_trials = store.tell_results(row.id, results) if results else row.study.n_trials
        if n_trials is not None:
            break
    if table.unread:
        tell(f"columns that are not read: {', '.join(table.unread)}")
    for key in recorded:
        completed = [result for _, result in made if result.state is TrialState.COMPLETED]
        if n_without := sum(key not in result.metrics for result in completed):
            tell(f"{n_without} of {len(completed)} result(s) say nothing of {key}, which the study judges by")
    if table.n_open:
        tell(f"left out: {table.n_open} trial(s) that had not ended")
    if n_known := len(table.results) - len(made):
        tell(f"left out: {n_known} result(s) that were told before")
    return Added(
        numbers=[proposal.number for proposal, _ in made],
        n_trials=n_trials,
        n_trials_before=row.study.n_trials,
    )


def _told_before(store: "Store", row: "StudyRow") -> set[Any]:
    metric = row.study.objective.metric
    trials = [trial for trial in store.trials(row.id) if trial.was_told]
    return {_key(trial.spec.layout, trial.params, trial.state, getattr(trial, metric)) for trial in trials}


def _told(
    study: "Study", past: "Sequence[PastTrial]", results: Sequence[PastResult], path: Path, told: set[Any]
) -> "Iterator[tuple[Proposal, PastResult]]":
    """The trials of results that are not in `told` yet, numbered on from the past."""
    from growlab.kinds import KINDS
    from growlab.search.adding import checked_layout, read_values, told_proposal
    from growlab.yaml_file import parse_yaml

    number, known = len(past), set(told)
    for result in results:
        where = f"{path}: line {result.line}: "
        layout = checked_layout(study, result.layout, KINDS, where)
        values = read_values(study, {name: parse_yaml(text) for name, text in result.values.items()}, where)
        key = _key(layout, values, result.state, result.metrics.get(study.objective.metric))
        if key in known:
            continue
        known.add(key)
        words = f"line {result.line} of {path.name}"
        proposal = told_proposal(study, past, number, layout, values, KINDS, words=words, where=where)
        yield proposal, result
        number += 1


def _key(layout: str, values: Mapping[str, Any], state: TrialState, loss: float | None) -> Any:
    """What makes two results the same one."""
    return layout, tuple(sorted(values.items())), state, finite(loss)


def best_as_first(
    store: "Store", source: str, study: "Study", top: int, vocab_size: int, tell: Tell
) -> "list[Proposal]":
    """The best configurations of another study as the first trials of this one, of which nothing is stored yet.

    Each has its layout, and of its values those that this study searches and may draw; the others are drawn.
    Raises NotFound, and UsageError for a layout that could not stand in layouts.start_with.
    """
    from growlab.kinds import KINDS
    from growlab.model.cost import Costs
    from growlab.records import PastTrial
    from growlab.search.adding import added_proposal, checked_layout, refuse_additions, takes_a_place

    refuse_additions(study)
    if not takes_a_place(study):
        raise UsageError(
            f"sampler {study.sampler.name} is a table of its own layouts.start_with; write the layouts there"
        )
    if top > study.n_trials:
        raise UsageError(f"n_trials {study.n_trials} has no room for the {top} best of study {source!r}; raise it")
    winners = ranked_winners(store, store.study(source))[:top]
    if len(winners) < top:
        tell(f"study {source!r} has {len(winners)} different trial(s) that completed; all of them are taken")
    past: list[PastTrial] = []
    proposals: list[Proposal] = []
    for winner in winners:
        words = f"trial {winner.number} of {source}"
        layout = checked_layout(study, winner.trial.spec.layout, KINDS, f"{words}: ")
        values = _values_of(winner.trial, study)
        proposal = added_proposal(
            study, past, layout, values, KINDS, measure=Costs(vocab_size), words=words, where=f"{words}: "
        )
        proposals.append(proposal)
        past.append(
            PastTrial(
                number=proposal.number,
                state=TrialState.QUEUED,
                layout=proposal.spec.layout,
                params=dict(proposal.params),
                added=True,
            )
        )
    return proposals


def _values_of(trial: "TrialRow", study: "Study") -> dict[str, "Value"]:
    """The values of a trial that this study searches, may draw, and that change anything beside each other."""
    from growlab.domains import Fixed, admits
    from growlab.search.scalars import acts
    from growlab.study.flat_keys import renamed

    domains = study.scalars()
    known = {f"train.{key}": value for key, value in asdict(trial.spec.train).items()}
    known |= renamed(trial.params, domains)
    values = {
        name: known[name]
        for name, domain in domains.items()
        if not isinstance(domain, Fixed) and name in known and admits(domain, known[name])
    }
    fixed = {name: domain.value for name, domain in domains.items() if isinstance(domain, Fixed)}
    while idle := [name for name in values if not acts(name, fixed | values)]:
        del values[idle[0]]
    return values
