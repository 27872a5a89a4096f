"""An ablation from its file to its verdicts: what is needed next is queued, workers train it, until nothing is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from growlab.ablate.arms import all_arms, container, study_of
from growlab.ablate.cells import Cell, cells_of, planned_cells
from growlab.ablate.file import Ablation, Arm, read_ablation
from growlab.ablate.queue import outcomes_of, proposals, require_same
from growlab.ablate.verdicts import Result, read_result
from growlab.data import Corpus
from growlab.errors import GrowlabError, StorageError
from growlab.plugins import load_plugins
from growlab.preparation.checking import prepare, warnings_of
from growlab.preparation.telling import Tell
from growlab.proposal import Proposal
from growlab.resources import shipped_ablations
from growlab.running.devices import devices_for
from growlab.running.patience import telling_patience
from growlab.running.study_run import Workers
from growlab.running.work import Follower, work
from growlab.storage import Store, StudyRow
from growlab.study import Study


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An ablation whose arms are known, checked against its text."""

    ablation: Ablation
    arms: Mapping[str, Arm]
    study: Study  # that holds the trainings
    corpus: Corpus

    def planned(self) -> list[Proposal]:
        """The trainings that are certain before any has ended: tuning as listed, and repeats of some tuned values."""
        cells = planned_cells(self.ablation, self.arms)
        return proposals(self.ablation, self.arms, self.study, cells, first=0)


def read_and_prepare(file: Path, overrides: Sequence[str], name: str, plugins: Sequence[Path], tell: Tell) -> Prepared:
    """Read an ablation, or the shipped one of that name, and check it against its text.

    Raises GrowlabError for what cannot be trained.
    """
    load_plugins(plugins)
    path = file if file.is_file() else shipped_ablations().get(str(file), file)
    ablation = read_ablation(path, overrides, name)
    study, corpus = prepare(container(ablation), plugins, tell, warns=False)
    arms = all_arms(ablation)
    for arm in arms.values():
        for warning in warnings_of(study_of(ablation, arm, {}), corpus):
            tell(f"warning: arm {arm.name!r}: {warning}")
    return Prepared(ablation=ablation, arms=arms, study=study, corpus=corpus)


def run_ablation(prepared: Prepared, *, workers: Workers, again: str, follower: Follower) -> Result:
    """Train whatever is needed still, and read the verdicts. `again` is the command that goes on after a stop.

    Raises SpecError for a training that cannot be, GrowlabError when some are left that no worker finished,
    KeyboardInterrupt after a stop.
    """
    prepared.planned()  # what can be no trial is refused before anything is trained, or stored
    crew = workers.crew(devices_for(workers.device, workers.workers))
    patience = telling_patience(workers.patience_s, follower.tell)
    with Store.open(workers.storage, create=True, patience=patience) as store:
        row = find_or_create(store, prepared, follower.tell)
        while True:
            n_new = enqueue_missing(store, row, prepared)
            unfinished = [trial for trial in store.trials(row.id) if not trial.state.is_final]
            if not unfinished:
                return _result(store, row, prepared)
            follower.tell(f"{n_new} new trainings, {len(unfinished)} to do")
            work(store, row, crew, again=again, follower=follower)
            waited_for = {trial.number for trial in unfinished}  # another `ablate` may have queued more meanwhile
            if any(not trial.state.is_final and trial.number in waited_for for trial in store.trials(row.id)):
                raise GrowlabError(f"some trainings are not finished; go on with: {again}")


def read_ablation_result(prepared: Prepared, *, storage: str) -> Result:
    """Read the verdicts of what has ended so far; trains nothing. Raises NotFound."""
    with Store.open(storage) as store:
        row = store.study(prepared.ablation.name)
        require_same(prepared.ablation, prepared.arms, row, prepared.study, store.trials(row.id))
        return _result(store, row, prepared)


def _result(store: Store, row: StudyRow, prepared: Prepared) -> Result:
    outcomes = outcomes_of(store.trials(row.id))
    cells = cells_of(prepared.ablation, prepared.arms, outcomes)
    return read_result(prepared.ablation, prepared.arms, cells, outcomes)


def find_or_create(store: Store, prepared: Prepared, tell: Tell) -> StudyRow:
    study = prepared.study
    if not _is_there(store, study.name):
        try:
            store.create_study(study)
            tell(f"created ablation {study.name!r} in {store.url}")
            return store.study(study.name)
        except StorageError:
            if not _is_there(store, study.name):  # else another `ablate` was first: it is joined
                raise
    row = store.study(study.name)
    require_same(prepared.ablation, prepared.arms, row, study, store.trials(row.id))
    return replace(row, study=replace(study, n_trials=row.study.n_trials))


def _is_there(store: Store, name: str) -> bool:
    return name in {summary.name for summary in store.studies()}


def enqueue_missing(store: Store, row: StudyRow, prepared: Prepared) -> int:
    """Queue the trainings that are wanted by now and not there; returns how many.

    No worker proposes any of its own, as the study's sampler is `given`; but another `ablate` may queue them first.
    """
    while True:
        trials = store.trials(row.id)
        there = {Cell.of(trial.params) for trial in trials}
        wanted = cells_of(prepared.ablation, prepared.arms, outcomes_of(trials))
        missing = [cell for cell in wanted if cell not in there]
        new = proposals(prepared.ablation, prepared.arms, prepared.study, missing, first=len(trials))
        if not new or store.enqueue_next(row.id, new):
            return len(new)
