"""Faults at random instants, and what they may not cost: a trial, a strike, or a bit.

    storm      SIGKILL at whole workers, at supervisors alone and at trainers alone; what ended is started again
    climb      a storm on a study whose trials are paused at rungs and promoted, by one objective or two; the same
               trials without rungs are what those that complete are compared with
    outage     the database is away for longer than a lease, several times; no worker is started again
    cut_off    one worker alone is stopped for longer than its lease, and then goes on

A seed gives the kinds of the faults, whom they hit and the gaps between them; the instants that they meet are the
machine's. Each returns a Row: counts, and what was wrong.
"""

import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from crew import Forked, Running, Spawned, send
from server import Server
from sqlalchemy import Connection, func, select
from study import NAME, STEPS, fingerprint, furnish

from growlab.preparation.remaining import n_unfinished
from growlab.records import EndReason, RungReading, TrialState
from growlab.storage import AttemptRow, Patience, Store, TrialRow
from growlab.storage.artifacts import CHECKPOINT
from growlab.storage.database import Database
from growlab.storage.tables import artifacts, attempts, trials, workers

MOST_TRAINER_KILLS = 2  # of one trial between two checkpoints: the third is a strike-out by rule
T = TypeVar("T")

KINDS = ("groups", "supervisors", "trainers")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a run is made."""

    folder: Path
    url: str
    command: type[Forked] | type[Spawned] = Forked
    n_workers: int = 4
    n_trials: int = 16
    lease_s: float = 2.0
    step_s: float = 0.02
    checkpoint_share: float = 0.1
    budget: str = STEPS
    rungs: str = ""
    longest_s: float = 1800.0  # then the run is given up


@dataclass(kw_only=True)
class Row:
    """A run in the table."""

    name: str
    seed: int
    database: str
    command: str
    hits: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    resumes: int = 0
    left: int = 0  # workers that ended by themselves while there was work
    promoted: int = 0  # times that a trial went on from its rung
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


Fingerprints = dict[int, dict[str, str]]
Readings = dict[int, tuple[RungReading, ...]]  # by trial


class Lab:
    """A study with its workers, which are ended at the end."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.crew = setting, list[Running]()
        self.n_started = self.left = 0
        self.artifacts = setting.folder / "artifacts"
        furnish(
            setting.folder,
            n_trials=setting.n_trials,
            step_s=setting.step_s,
            checkpoint_share=setting.checkpoint_share,
            budget=setting.budget,
            rungs=setting.rungs,
        )
        created = self._start("study", "create", "study.yaml")
        assert created.wait(120) == 0, created.log.read_text()
        self.store, self.database = Store.open(setting.url), Database.open(setting.url)
        self.study_id = self.store.study(NAME).id
        self.crew = [self.hire() for _ in range(setting.n_workers)]

    def close(self) -> None:
        for worker in self.crew:
            worker.signal_all(signal.SIGKILL)
            worker.wait(10)
        self.store.close()
        self.database.close()

    # ---- workers ---------------------------------------------------------------------------------------------

    def hire(self) -> Running:
        """Start a worker."""
        words = ("--lease", self.setting.lease_s, "--checkpoint-every", 0, "--threads", 1, "--device", "cpu")
        return self._start("worker", NAME, "--plugin", "pace.py", *map(str, words))

    def keep_up(self) -> None:
        """Start a worker for each that has ended."""
        for at, worker in enumerate(self.crew):
            if worker.exit_code is not None:
                self.left += worker.exit_code != -signal.SIGKILL
                self.crew[at] = self.hire()

    def _start(self, *words: str) -> Running:
        self.n_started += 1
        environment = {
            "GROWLAB_STORAGE": self.setting.url,
            "GROWLAB_ARTIFACTS": str(self.artifacts),
            "GROWLAB_CACHE": str(self.setting.folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }
        folder = self.setting.folder
        return self.setting.command(words, environment, folder, folder / f"{self.n_started:03d}.log")

    # ---- the study -------------------------------------------------------------------------------------------

    def is_done(self) -> bool:
        return n_unfinished(self.store, self.store.study(NAME)) == 0

    def trials(self) -> list[TrialRow]:
        return self.store.trials(self.study_id)

    def trial_of(self, worker: Running) -> int | None:
        """The id of the trial that it holds."""
        asked = (
            select(attempts.c.trial_id)
            .join_from(attempts, workers)
            .join(trials, trials.c.id == attempts.c.trial_id)
            .where(workers.c.pid == worker.pid, attempts.c.ended_at.is_(None), attempts.c.epoch == trials.c.epoch)
        )
        found: int | None = self._read(lambda connection: connection.scalar(asked.limit(1)))
        return found

    def has_saved(self, worker: Running) -> bool:
        """Whether its present attempt has a checkpoint of its own."""
        asked = (
            select(artifacts.c.id)
            .join(attempts, (attempts.c.trial_id == artifacts.c.trial_id) & (attempts.c.epoch == artifacts.c.epoch))
            .join(workers, workers.c.id == attempts.c.worker_id)
            .where(workers.c.pid == worker.pid, attempts.c.ended_at.is_(None), artifacts.c.kind == CHECKPOINT)
        )
        return self._read(lambda connection: connection.scalar(asked.limit(1))) is not None

    def trainer_kills(self) -> dict[int, int]:
        """Trainers that died of each trial since its newest checkpoint."""
        saved = (
            select(func.max(artifacts.c.epoch))
            .where(artifacts.c.trial_id == attempts.c.trial_id, artifacts.c.kind == CHECKPOINT)
            .scalar_subquery()
        )
        asked = (
            select(attempts.c.trial_id, func.count())
            .where(attempts.c.end_reason == EndReason.CRASHED, attempts.c.epoch >= func.coalesce(saved, 0))
            .group_by(attempts.c.trial_id)
        )
        return dict(self._read(lambda connection: connection.execute(asked).tuples().all()))

    def _read(self, action: Callable[[Connection], T]) -> T:
        return self.database.read(action, Patience(60))  # its connection broke when the server was away

    def resumes(self) -> int:
        """Attempts that began with a checkpoint of another's, as the workers said."""
        logs = self.setting.folder.glob("*.log")
        return sum(log.read_text(errors="replace").count(": resumed from step ") for log in logs)

    def replay(self) -> list[str]:
        """What `growlab study replay` finds amiss."""
        replayed = self._start("study", "replay", NAME)
        return [] if replayed.wait(120) == 0 else [f"replay: {replayed.log.read_text(errors='replace')}"]

    def fingerprints(self) -> Fingerprints:
        return {each.number: fingerprint(self.store, each, self.artifacts) for each in self.trials()}

    def attempts(self, trial: TrialRow) -> list[AttemptRow]:
        return self.store.attempts(trial.id)


@contextmanager
def lab(setting: Setting) -> Iterator[Lab]:
    shutil.rmtree(setting.folder, ignore_errors=True)
    setting.folder.mkdir(parents=True)
    made = Lab(setting)
    try:
        yield made
    finally:
        made.close()


class References:
    """What the trials are when nothing happens, by their budget: what the others are compared with.

    Made when first asked for, before anything else is begun.
    """

    def __init__(self, make: Callable[..., Setting], n_trials: int) -> None:
        self._make, self._n_trials = make, n_trials
        self._lock = threading.Lock()
        self._whole: dict[str, Fingerprints] = {}
        self._readings: dict[str, Readings] = {}

    def of(self, setting: Setting) -> Fingerprints:
        """The trials of a setting, each to its end."""
        with self._lock:
            if setting.budget not in self._whole:
                self._whole[setting.budget] = self._train(setting.budget)
            return self._whole[setting.budget]

    def _train(self, budget: str) -> Fingerprints:
        with self._undisturbed(budget) as here:
            assert all(each.state is TrialState.COMPLETED for each in here.trials()), "the study itself does not train"
            assert all(each.depth_end > each.depth_start for each in here.trials()), "a trial does not grow"
            return here.fingerprints()

    def readings(self, setting: Setting) -> Readings:
        """What the trials of a setting come to at their rungs, as far as they climb."""
        if setting.rungs not in self._readings:
            with self._undisturbed(setting.budget, setting.rungs) as here:
                self._readings[setting.rungs] = here.store.all_readings(here.study_id)
        return self._readings[setting.rungs]

    @contextmanager
    def _undisturbed(self, budget: str, rungs: str = "") -> Iterator[Lab]:
        setting = self._make("sqlite", step_s=0, n_trials=self._n_trials, budget=budget, rungs=rungs)
        with lab(setting) as here:
            for worker in here.crew:
                assert worker.wait(setting.longest_s) == 0, worker.log.read_text()
            yield here


# ---- storms ----------------------------------------------------------------------------------------------------


def storm(setting: Setting, references: References, seed: int, *, n_kills: int, gap_s: float) -> Row:
    """SIGKILLs, at least `gap_s` seconds apart in the mean; they all must have come before the study is done."""
    row, reference = _row("storm", setting, seed), references.of(setting)
    with lab(setting) as here, _judged(row, here, reference):
        _rage(here, row, n_kills, gap_s)
    _require_a_storm(row, n_kills)
    return row


def climb(setting: Setting, references: References, seed: int, *, n_kills: int, gap_s: float) -> Row:
    """A storm on a study with rungs: readings are as undisturbed, and every decision is made again, byte for byte.

    At its end all workers leave, and what waits has no checkpoint.
    """
    name = "climb of two" if "objectives" in setting.rungs else "climb"
    row, reference, readings = _row(name, setting, seed), references.of(setting), references.readings(setting)
    with lab(setting) as here, _judged(row, here, reference):
        _rage(here, row, n_kills, gap_s)
        row.problems += _ended(here, but_with=0)
        row.problems += [f"trial {number} waits with a checkpoint" for number in _kept(here)]
        row.problems += _other_readings(here, readings)
        row.problems += here.replay()
        row.promoted = len(here.store.all_promotions(here.study_id))
    if row.promoted < setting.n_trials // 2:
        row.problems.append(f"only {row.promoted} promotions")
    _require_a_storm(row, n_kills)
    return row


def _rage(here: Lab, row: Row, n_kills: int, gap_s: float) -> None:
    rng = random.Random(row.seed)
    kinds = [KINDS[at % len(KINDS)] for at in range(n_kills)]
    rng.shuffle(kinds)
    due_at, with_checkpoint = _next_kill(rng, gap_s)
    for _ in _until_done(here):
        here.keep_up()
        if not kinds or time.monotonic() < due_at:
            continue
        victims = [each for each in here.crew if not with_checkpoint or here.has_saved(each)]
        if victims and _kill(here, rng.choice(victims), kinds[-1]):
            row.hits[kinds.pop()] += 1
            due_at, with_checkpoint = _next_kill(rng, gap_s)


def _require_a_storm(row: Row, n_kills: int) -> None:
    if row.hits.total() < n_kills:
        row.problems.append(f"the study was done after {row.hits.total()} of {n_kills} kills")
    if row.resumes < n_kills // 6:  # else the storm met nothing but starts
        row.problems.append(f"only {row.resumes} attempts went on from a checkpoint")


def _kept(here: Lab) -> list[int]:
    return sorted(here.store.paused_checkpoints(here.study_id))


def _other_readings(here: Lab, expected: Readings) -> list[str]:
    """Trials that came to something else than undisturbed at a rung to which both came."""
    problems = []
    for number, found in here.store.all_readings(here.study_id).items():
        both = list(zip(found, expected.get(number, ()), strict=False))
        if any(one != other for one, other in both):
            problems.append(f"trial {number} was read otherwise: {both}")
    return problems


def _next_kill(rng: random.Random, gap_s: float) -> tuple[float, bool]:
    """From when on, and whether of an attempt that has saved: on a slow machine all would meet starts else."""
    return time.monotonic() + rng.expovariate(1 / gap_s), rng.random() < 0.5


def _kill(here: Lab, worker: Running, kind: str) -> bool:
    """Whether it was killed; a supervisor is gone when this returns, so that the next kill is another's."""
    match kind:
        case "groups":
            worker.signal_all(signal.SIGKILL)
        case "supervisors":
            send(worker.pid, signal.SIGKILL)
        case "trainers":
            return _kill_trainer(here, worker)
    return worker.wait(10) is not None


def _kill_trainer(here: Lab, worker: Running) -> bool:
    """Unless that might strike its trial out. The worker stands still meanwhile, so that it is of no other trial."""
    worker.signal_all(signal.SIGSTOP)
    try:
        trainer, held, kills = worker.trainer(), here.trial_of(worker), here.trainer_kills()
        so_far = max(kills.values(), default=0) if held is None else kills.get(held, 0)  # it may be about to take any
        if trainer is None or so_far >= MOST_TRAINER_KILLS:
            return False
        send(trainer, signal.SIGKILL)
        return True
    finally:
        worker.signal_all(signal.SIGCONT)


# ---- outages ---------------------------------------------------------------------------------------------------


def outage(
    setting: Setting,
    references: References,
    seed: int,
    *,
    stops: Sequence[str],
    away_s: float,
    between_s: float,
) -> Row:
    """A PostgreSQL is stopped in each of these ways, after about `between_s` of work, for `away_s`.

    Then no worker has ended, and each trial is of one attempt.
    """
    rng, row, reference = random.Random(seed), _row("outage", setting, seed), references.of(setting)
    with ExitStack() as stack:
        server = stack.enter_context(Server())  # of its own: others go on meanwhile
        here = stack.enter_context(lab(replace(setting, url=server.new_database("outage"))))
        stack.enter_context(_judged(row, here, reference))
        for how in stops:
            _wait(lambda: all(here.trial_of(worker) for worker in here.crew) or here.is_done(), "all are at work")
            time.sleep(between_s * rng.uniform(0.5, 1.5))
            if here.is_done():
                row.problems.append(f"the study was done before the server was stopped ({how})")
            server.stop(how)
            time.sleep(away_s)
            row.hits[how] += 1
            row.problems += [f"outage ({how}): {words}" for words in _ended(here)]
            server.start()
        for _ in _until_done(here):
            if _ended(here) and not here.is_done():
                break
        row.problems += _ended(here, but_with=0)
        for trial in here.trials():
            if trial.strikes:
                row.problems.append(f"trial {trial.number} has {trial.strikes} strike(s)")
            reasons = [each.end_reason for each in here.attempts(trial)]
            if reasons != [EndReason.FINISHED]:
                row.problems.append(f"trial {trial.number} has attempts that ended as {', '.join(map(str, reasons))}")
    return row


# ---- one worker alone --------------------------------------------------------------------------------------------


def cut_off(setting: Setting, references: References, seed: int) -> Row:
    """A worker stands still until another has taken its trial. It goes on with others; what it had is dropped."""
    rng, row, reference = random.Random(seed), _row("cut-off", setting, seed), references.of(setting)
    with lab(setting) as here, _judged(row, here, reference):
        _wait(lambda: all(here.trial_of(worker) for worker in here.crew), "all are at work")
        time.sleep(10 * setting.step_s * rng.random())
        victim = rng.choice(here.crew)
        lost = _stop_until_lost(here, victim)
        row.hits["stopped"] += 1
        for _ in _until_done(here):
            pass
        row.problems += _ended(here, but_with=0)
        [trial] = [each for each in here.trials() if each.id == lost]
        first, *_, last = here.attempts(trial)
        if (first.end_reason, last.end_reason) != (EndReason.LOST, EndReason.FINISHED):
            row.problems.append(f"trial {trial.number} was {first.end_reason}, then {last.end_reason}")
        if first.worker == last.worker:
            row.problems.append(f"trial {trial.number} was finished by the worker that had lost it")
    return row


def _stop_until_lost(here: Lab, victim: Running) -> int:
    """The trial that another took over. Where the victim stood still holding a lock that all wait for, once more."""
    give_up_at = time.monotonic() + 120
    while time.monotonic() < give_up_at:
        victim.signal_all(signal.SIGSTOP)
        try:
            held = here.trial_of(victim)
            until = time.monotonic() + 4 * here.setting.lease_s
            while held is not None and time.monotonic() < until:
                if here.trial_of(victim) is None:
                    return held
                time.sleep(0.1)
        finally:
            victim.signal_all(signal.SIGCONT)
        time.sleep(here.setting.step_s)
    raise TimeoutError(f"nobody took over what a stopped worker held: {victim.log.read_text()}")


# ---- how it ends -------------------------------------------------------------------------------------------------


def _row(name: str, setting: Setting, seed: int) -> Row:
    database = setting.url.partition(":")[0]
    return Row(name=name, seed=seed, database=database, command=setting.command.__name__.lower())


def _until_done(here: Lab) -> Iterator[None]:
    """Again and again, at irregular intervals."""
    until = time.monotonic() + here.setting.longest_s
    while not here.is_done():
        if time.monotonic() > until:
            raise TimeoutError(f"the study was not done after {here.setting.longest_s:.0f} s")
        yield
        time.sleep(random.uniform(0.02, 0.1))


def _wait(condition: Callable[[], bool], words: str) -> None:
    until = time.monotonic() + 120
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not seen within 120 s: {words}")
        time.sleep(0.05)


def _ended(here: Lab, but_with: int | None = None) -> list[str]:
    """Workers that have ended; with `but_with` all are given time to, and those that ended otherwise."""
    codes = [(each, each.exit_code if but_with is None else each.wait(30)) for each in here.crew]
    return [
        f"a worker {'is still there' if code is None else f'ended with {code}'}: {last_line(worker.log)}"
        for worker, code in codes
        if code != but_with
    ]


def last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]


@contextmanager
def _judged(row: Row, here: Lab, reference: Fingerprints) -> Iterator[None]:
    """Counts, and what no fault may cost. A run that takes too long is a problem of its row."""
    began = time.monotonic()
    try:
        yield
    except TimeoutError as error:
        row.problems.append(str(error))
    row.seconds, row.left = time.monotonic() - began, here.left
    found, expected = here.trials(), range(here.setting.n_trials)
    if [each.number for each in found] != list(expected):
        row.problems.append(f"trials {[each.number for each in found]} instead of {len(expected)}")
    tried = [here.attempts(each) for each in found]
    row.attempts = sum(map(len, tried))
    row.resumes = here.resumes()
    for trial, its in zip(found, tried, strict=True):
        if trial.state is TrialState.PAUSED and here.setting.rungs:
            continue
        if trial.state is not TrialState.COMPLETED:
            row.problems.append(f"trial {trial.number} is {trial.state} after {len(its)} attempts: {trial.error}")
        elif (n := sum(each.end_reason is EndReason.FINISHED for each in its)) != 1:
            row.problems.append(f"trial {trial.number} was finished {n} times")
        elif other := differences(fingerprint(here.store, trial, here.artifacts), reference[trial.number]):
            row.problems.append(f"trial {trial.number} differs from the undisturbed one in {', '.join(other)}")


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [name for name in one if one[name] != other[name]]
