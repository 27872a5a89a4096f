"""The room's door: studies, the queue of trials, and everything that trials say, in one SQL database.

A method is one transaction. Those that workers call wait for a database that restarts, is locked or cannot be
reached, as long as the store's patience lasts; then they raise DatabaseAway. What they do may be done twice, as it is
when only the answer was lost.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

from growlab.proposal import Proposal
from growlab.records import (
    Artifact,
    Decision,
    EarlyStop,
    EndReason,
    Fact,
    GrowthEvent,
    Metric,
    PastTrial,
    Promotion,
    RungReading,
    Spent,
    TrajectoryPoint,
    TrialResult,
    TrialState,
)
from growlab.storage import (
    adding,
    commits,
    decisions,
    facts,
    fence,
    overview,
    queue,
    reading,
    schema,
    spending,
    studies,
    whole_study,
    workers,
)
from growlab.storage import artifacts as files
from growlab.storage.database import Database
from growlab.storage.faults import NO_PATIENCE, Patience
from growlab.storage.overview import Curve
from growlab.storage.rows import AttemptRow, Claim, StudyRow, StudySummary, Tally, TrialRow, WorkerRow
from growlab.study import Study

T = TypeVar("T")

USUAL_PATIENCE = Patience(60.0)


class Store:
    def __init__(self, database: Database, patience: Patience) -> None:
        self._database, self._patience = database, patience
        self.url = database.shown  # without the password
        self.options = database.options  # by which another command finds it

    @classmethod
    def open(cls, url: str, *, create: bool = False, patience: Patience | None = None) -> Self:
        """Open a store. With `create` the file and the tables are made where there are none.

        An opener with a patience of its own waits already here. Raises StorageError when nobody answers or the file
        is missing, SchemaError for an older or newer schema: neither is changed by opening.
        """
        database = Database.open(url, create=create)
        try:
            if create:
                schema.ensure_schema(database)
            else:
                schema.check_schema(database, patience or NO_PATIENCE)
        except BaseException:
            database.close()
            raise
        return cls(database, patience or USUAL_PATIENCE)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- studies ---------------------------------------------------------------------------------------------

    def create_study(self, study: Study, given: Sequence[Proposal] = ()) -> None:
        """Add a study, and with it the trials that are given. Raises StorageError when the name is taken.

        All or nothing: where as many are given as it has trials, no worker ever finds a number that is free.
        """

        def create(connection: Connection) -> None:
            study_id = studies.create_study(connection, study, self.options)
            for proposal in given:
                queue.enqueue(connection, study_id, proposal)

        self._database.write(create)

    def study(self, name: str) -> StudyRow:
        """Read a study by its name. Raises NotFound with the known names."""
        return self._read(lambda connection: studies.read_study(connection, name, self.options))

    def revisions(self, study_id: int) -> list[Study]:
        """Read a study as it was at first, after each change, and as it is: by revision. Raises NotFound."""
        return self._read(lambda connection: studies.read_revisions(connection, study_id))

    def studies(self) -> list[StudySummary]:
        return self._read(studies.read_studies)

    def set_n_trials(self, name: str, n_trials: int) -> None:
        """Set the number of trials that a study wants. Raises NotFound, and UsageError for fewer than there are."""
        self._database.write(lambda connection: studies.set_n_trials(connection, name, n_trials, self.options))

    def change_study(self, name: str, changes: Mapping[str, Any]) -> None:
        """Set sections of a study as its mapping has them (growlab.study.column), None for one that it shall not have.

        Raises NotFound, and UsageError for fewer trials than there are.
        """
        self._database.write(lambda connection: studies.change_study(connection, name, changes, self.options))

    def n_trials(self, study_id: int) -> int:
        """Read the number of trials that the study wants now: that may be raised while workers run. Raises NotFound."""
        return self._read(lambda connection: studies.read_n_trials(connection, study_id))

    def n_told(self, study_id: int) -> int:
        """Count the trials of a study whose results a person told."""
        return self._read(lambda connection: adding.count_told(connection, study_id))

    def delete_study(self, name: str) -> None:
        """Delete a study and all of it. Raises StorageError while one of its trials runs under a live lease."""
        self._database.write(lambda connection: studies.delete_study(connection, name, self.options))

    # ---- workers ---------------------------------------------------------------------------------------------

    def register_worker(self, *, name: str, device: str, versions: dict[str, Any], lease_s: float = 0.0) -> int:
        """Add a worker and return the id under which it claims, with leases of that length."""
        return self._write(
            lambda connection: workers.register_worker(
                connection, name=name, device=device, versions=versions, lease_s=lease_s
            )
        )

    def end_worker(self, worker_id: int, *, patience: Patience | None = None) -> None:
        self._write(lambda connection: workers.end_worker(connection, worker_id), patience)

    # ---- the queue -------------------------------------------------------------------------------------------

    def enqueue(self, study_id: int, proposal: Proposal, *, revision: int = 0) -> bool:
        """Add a trial that this revision of the study proposed.

        False when somebody else has added that number, or the study has n_trials already. Numbers count from 0, so that
        any number of workers together make exactly n_trials.
        """
        return self._write(lambda connection: queue.enqueue(connection, study_id, proposal, revision))

    def enqueue_next(self, study_id: int, proposals: Sequence[Proposal]) -> bool:
        """Add trials behind all that a study has, which it then wants; False, and none, when these are not the next.

        So of two processes that propose at once, from the same trials, one adds its own and the other looks again.
        Raises NotFound.
        """

        def enqueue(connection: Connection) -> bool:
            if not studies.reserve(connection, study_id, proposals[0].number, len(proposals)):
                return False
            for proposal in proposals:
                queue.enqueue(connection, study_id, proposal)
            return True

        return self._write(enqueue)

    def add_trials(self, study_id: int, proposals: Sequence[Proposal], *, takes_places: bool) -> int | None:
        """Add trials that a person wants, beyond n_trials by raising it, and return that; None for a number taken."""
        return self._database.write(
            lambda connection: adding.add_trials(connection, study_id, proposals, takes_places=takes_places)
        )

    def tell_results(
        self, study_id: int, results: Sequence[tuple[Proposal, TrialState, Mapping[str, float]]]
    ) -> int | None:
        """Add trials that were trained elsewhere, with their final states and losses, likewise."""
        return self._database.write(lambda connection: adding.tell_results(connection, study_id, results))

    def promote(self, study_id: int, promotion: Promotion, *, revision: int = 0) -> bool:
        """Let a paused trial train on, up to the next rung, as this revision of the study decided.

        False when it is no longer paused at that rung: of two that promote it at once, one does.
        """
        return self._write(lambda connection: queue.promote(connection, study_id, promotion, revision))

    def claim_next(self, study_id: int, worker_id: int, *, lease_s: float) -> Claim | None:
        """Take the first trial that is queued, or whose worker let its lease run out; None when there is none.

        The former attempt, if it was still open, is closed as lost. A trial that cannot be read, or was lost
        MOST_LOSSES times in a row without coming any further, is failed instead. After a silence of all workers no
        lease is taken before all of them could be heard again (growlab.storage.silence).
        """
        asked_before = False

        def claim(connection: Connection) -> Claim | None:
            nonlocal asked_before
            again, asked_before = asked_before, True
            return queue.claim_next(connection, study_id, worker_id, lease_s=lease_s, asked_before=again)

        return self._write(claim)

    def beat(self, claim: Claim, step: int = 0) -> None:
        """Extend the lease, and tell at which step the trial is. Waits no longer than for one new connection.

        There is a next beat. Raises LeaseLost when the trial is another's, or is no longer running.
        """
        self._write(lambda connection: queue.beat(connection, claim, step), Patience(1.0))

    def commit(self, claim: Claim, facts: Sequence[Fact], checkpoint: Artifact) -> None:
        """Write checkpoint and facts at once, or neither, and extend the lease. Raises LeaseLost."""
        self._write(lambda connection: commits.commit(connection, claim, facts, checkpoint))

    def finish(self, claim: Claim, result: TrialResult, facts: Sequence[Fact], artifacts: Sequence[Artifact]) -> None:
        """Give the trial its final state. The checkpoint's row goes: its file is no longer needed. Raises LeaseLost."""
        self._write(lambda connection: commits.finish(connection, claim, result, facts, artifacts))

    def pause(self, claim: Claim, facts: Sequence[Fact], checkpoint: Artifact) -> None:
        """Write checkpoint and facts, and give the trial back as paused, all at once or nothing. Raises LeaseLost."""
        self._write(lambda connection: commits.pause(connection, claim, facts, checkpoint))

    def start_over(self, claim: Claim, note: str) -> None:
        """Forget a checkpoint that cannot be used, and the facts up to it; note why. Raises LeaseLost."""
        self._write(lambda connection: commits.start_over(connection, claim, note))

    def release(self, claim: Claim, reason: EndReason, note: str = "", *, patience: Patience | None = None) -> None:
        """Give the trial back: STOPPED without blame, CRASHED with a strike. Raises LeaseLost."""
        self._write(lambda connection: queue.release(connection, claim, reason, note), patience)

    def ended_as(self, claim: Claim) -> EndReason | None:
        """The reason for which this very attempt ended; None while it has not, and of a study that was deleted."""
        return self._read(lambda connection: fence.ended_as(connection, claim))

    def take_checkpoints(self, study_id: int, numbers: Collection[int]) -> list[tuple[int, Artifact]]:
        """Take the checkpoints of these trials, where they are paused; whoever asks deletes the files that it gets.

        A trial that is promoted without one begins again, and comes to the same.
        """
        return self._write(lambda connection: files.take_checkpoints(connection, study_id, numbers))

    # ---- the test split ----------------------------------------------------------------------------------------

    def record_test(self, trial_id: int, values: Mapping[str, float]) -> bool:
        """Put on record what the test split said of a trial, and when. False when that is on record already."""
        return self._write(lambda connection: facts.record_test(connection, trial_id, values))

    # ---- reading ---------------------------------------------------------------------------------------------

    def past_trials(self, study_id: int, asked: str | Sequence[str]) -> list[PastTrial]:
        """Read trials as a search knows them, by number, with readings; only a completed one has a value.

        `asked` is a loss, or keys of metrics (Study.metrics) of which the first is the value, and a loss.
        """
        return self._read(lambda connection: reading.read_past_trials(connection, study_id, asked))

    def recorded(self, study_id: int, keys: Sequence[str]) -> dict[int, dict[str, float]]:
        """Read what rows say of metrics that are no losses, by trial number and key; none where a trial has no row."""
        return self._read(lambda connection: reading.read_recorded(connection, study_id, keys))

    def counts(self, study_id: int) -> dict[TrialState, int]:
        """Count the trials in every state, also in those that none is in."""
        return self._read(lambda connection: studies.count_trials(connection, study_id))

    def tally(self, study_id: int) -> Tally:
        """Count the trials in every state, and all promotions, at one moment."""
        return self._read(lambda connection: studies.read_tally(connection, study_id))

    def spent(self, study_id: int) -> Spent:
        """Read what all trials of the study have spent, and the best that they have reached."""
        return self._read(lambda connection: spending.read_spent(connection, study_id))

    def why_over(self, study_id: int) -> str:
        """The limit that the study has reached, in words; '' while it has reached none."""
        return self._read(lambda connection: spending.why_over(connection, study_id))

    def n_under_way(self, study_id: int) -> int:
        """Count the trials that have begun and go on, whether somebody trains them or not; paused ones do not."""
        return self._read(lambda connection: spending.n_under_way(connection, study_id))

    def trials(self, study_id: int) -> list[TrialRow]:
        """Read the trials of a study by number."""
        return self._read(lambda connection: reading.read_trials(connection, study_id))

    def trial(self, study_id: int, number: int) -> TrialRow:
        """Read a trial by its number. Raises NotFound with the numbers that there are."""
        return self._read(lambda connection: reading.read_trial(connection, study_id, number))

    def metrics(self, trial_id: int, split: str | None = None, name: str | None = None) -> list[Metric]:
        """Read metrics by step; all splits and all names unless one is given."""
        return self._read(lambda connection: facts.read_metrics(connection, trial_id, split, name))

    def trajectory(self, trial_id: int, tensor: str | None = "") -> list[TrajectoryPoint]:
        """Read points by step and unit: the units' means, the tensor of that name, or with None all tensors."""
        return self._read(lambda connection: facts.read_trajectory(connection, trial_id, tensor))

    def growth_events(self, trial_id: int) -> list[GrowthEvent]:
        return self._read(lambda connection: facts.read_growth_events(connection, trial_id))

    def readings(self, trial_id: int) -> list[RungReading]:
        """Read what a trial came to at its rungs, from the lowest on."""
        return self._read(lambda connection: facts.read_readings(connection, trial_id))

    def all_readings(self, study_id: int) -> dict[int, tuple[RungReading, ...]]:
        """Read what the trials of a study came to at their rungs, by number; those that came to none are left out."""
        return self._read(lambda connection: facts.read_all_readings(connection, study_id))

    def readings_at(self, study_id: int, rung: int) -> dict[int, RungReading]:
        """Read what the trials of a study came to at one rung, or mark, by number."""
        return self._read(lambda connection: facts.read_readings_at(connection, study_id, rung))

    def stops(self, study_id: int) -> dict[int, EarlyStop]:
        """Read why stop rules ended trials of a study, by number."""
        return self._read(lambda connection: facts.read_stops(connection, study_id))

    def attempts(self, trial_id: int) -> list[AttemptRow]:
        return self._read(lambda connection: reading.read_attempts(connection, trial_id))

    def attempt_times(self, study_id: int) -> list[tuple[float, float]]:
        """Read the times from and to which the attempts at a study's trials ran, until it ended or was last heard."""
        return self._read(lambda connection: reading.read_attempt_times(connection, study_id))

    def n_growths(self, study_id: int) -> dict[int, int]:
        """Count how often trials grew, by number, of those that did."""
        return self._read(lambda connection: overview.read_n_growths(connection, study_id))

    def risen_losses(self, study_id: int, margin: float) -> dict[int, dict[str, Curve]]:
        """Read losses by step, of train and val, of trials whose val_loss ended that much above its best or is open."""
        return self._read(lambda connection: overview.read_risen_losses(connection, study_id, margin))

    def workers(self, study_id: int) -> list[WorkerRow]:
        """Read who ever tried a trial of the study, in the order in which they came, and what each holds now."""
        return self._read(lambda connection: overview.read_workers(connection, study_id))

    # ---- reading all trials of a study ------------------------------------------------------------------------

    def all_metrics(self, study_id: int, names: Collection[str] = (), split: str = "") -> list[whole_study.MetricRow]:
        """Read (trial, step, split, name, value), in that order: of these names or all, of one split or all."""
        return self._read(lambda connection: whole_study.read_metrics(connection, study_id, names, split))

    def all_trajectory(self, study_id: int, tensor: str | None = "") -> list[tuple[Any, ...]]:
        """Read trials' numbers and fields of points: the units' means, the tensor of that name, or with None all."""
        return self._read(lambda connection: whole_study.read_trajectory(connection, study_id, tensor))

    def all_growth_events(self, study_id: int) -> list[tuple[Any, ...]]:
        """Read trials' numbers and the fields of growth events."""
        return self._read(lambda connection: whole_study.read_growth_events(connection, study_id))

    def all_attempts(self, study_id: int) -> list[tuple[Any, ...]]:
        """Read attempts and who made them, in the order in which they began: whole_study.ATTEMPT_FIELDS."""
        return self._read(lambda connection: whole_study.read_attempts(connection, study_id))

    def all_decisions(self, study_id: int) -> list[tuple[Any, ...]]:
        """Read what proposed each trial, by number: whole_study.DECISION_FIELDS."""
        return self._read(lambda connection: whole_study.read_decisions(connection, study_id))

    # ---- reading the rest of a trial ---------------------------------------------------------------------------

    def artifacts(self, trial_id: int) -> list[Artifact]:
        return self._read(lambda connection: files.read_artifacts(connection, trial_id))

    def paused_checkpoints(self, study_id: int) -> dict[int, Artifact]:
        """Read the checkpoints of a study's paused trials, by number."""
        return self._read(lambda connection: files.read_paused_checkpoints(connection, study_id))

    def decision(self, trial_id: int) -> Decision:
        """Read the decision that proposed a trial."""
        return self._read(lambda connection: decisions.read_decision(connection, trial_id))

    def promotions(self, trial_id: int) -> list[Promotion]:
        """Read the promotions that a trial had, from the lowest rung on."""
        return self._read(lambda connection: decisions.read_promotions(connection, trial_id))

    def all_promotions(self, study_id: int) -> list[Promotion]:
        """Read the promotions of all trials of a study, in the order in which they were made."""
        return self._read(lambda connection: decisions.read_all_promotions(connection, study_id))

    # ---- how -------------------------------------------------------------------------------------------------

    def _read(self, action: Callable[[Connection], T]) -> T:
        return self._database.read(action, self._patience)

    def _write(self, action: Callable[[Connection], T], patience: Patience | None = None) -> T:
        return self._database.write(action, patience or self._patience)
