"""Where the time of a short trial goes, and how many of them a GPU trains in an hour.

    python benchmarks/gpu/short_trials.py CORPUS OUT.jsonl [--trials 12] [--slots 1 4] [--seconds 60] [--profile FILE]
        [--mps]

The trials of short.yaml. First some of them in this process, as a trainer runs them: seconds of every phase, the device
waited for where one begins and ends; of each phase its own time, without that of phases within it. The first trials,
which load kernels, are not counted. Then the command `growlab worker --slots N`, for some time: trials per hour from
the end of its first 2N trials to that of the last one.
--profile writes what Python did in the same trials, the device not waited for, by its own time. --mps says that
NVIDIA's MPS is running (whoever calls this starts it), under which processes compute side by side.
"""

import contextlib
import cProfile
import io
import os
import pstats
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rows import Rows, about, parser_of

STUDY = Path(__file__).with_name("short.yaml")
UNCOUNTED = 3  # trials, which load kernels
PHASES = {  # of what is called within a trial, by its place; what has another name in another version is left out
    "decide": "growlab.worker.trainer:_Trainer._decide_next",
    "claim": "growlab.storage.store:Store.claim_next",
    "tidy": "growlab.worker.trainer:_Trainer.tidy",
    "build": "growlab.training.trial:fresh_run",
    "warm-up": "growlab.training.engine:GraphEngine._warm_up",
    "record": "growlab.training.engine:GraphEngine._record",
    "evaluate": "growlab.training.run:TrialRun.evaluate",
    "leak alarm": "growlab.training.trial:Attempt.leaks",
    "metrics of blocks": "growlab.training.run:TrialRun.block_metrics",
    "checkpoint": "growlab.training.saving:Saver.save",
    "weights": "growlab.training.checkpoint:CheckpointFolder.save_model",
    "tokenizer": "growlab.training.checkpoint:CheckpointFolder.save_tokenizer",
    "sample": "growlab.training.saving:sample_text",
    "rows": "growlab.storage.store:Store.finish",
}


def growlab(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "growlab", *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


@contextlib.contextmanager
def created(corpus: Path, study: Path, *sets: str) -> Iterator[Path]:
    """Make a folder with the study in a database, which GROWLAB_STORAGE names."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GROWLAB_STORAGE"] = f"sqlite:///{folder}/short.db"
        options = [word for pair in (f"data.path={corpus}", *sets) for word in ("--set", pair)]
        growlab("study", "create", str(study), *options)
        yield Path(folder)


class Clock:
    """Seconds of each phase; one that begins within another takes its time from that."""

    def __init__(self, wait: Callable[[], object]) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._wait, self._within = wait, ["steps and the rest"]
        self._since = time.perf_counter()

    def _charge(self) -> None:
        self._wait()
        now = time.perf_counter()
        phase = self._within[-1]
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._since
        self._since = now

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: object, **named: object) -> object:
            self._charge()
            self._within.append(phase)
            self.calls[phase] = self.calls.get(phase, 0) + 1
            try:
                return function(*args, **named)
            finally:
                self._charge()
                self._within.pop()

        return wrapped

    def take(self) -> tuple[dict[str, float], dict[str, int]]:
        """Return the seconds and calls of each phase since the last time, and begin anew."""
        self._charge()
        taken = {phase: round(seconds, 4) for phase, seconds in self.seconds.items()}, self.calls
        self.seconds, self.calls = {}, {}
        return taken


@contextlib.contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Have the clock time each phase within."""
    import importlib

    restore: list[tuple[object, str, object]] = []
    for phase, place in PHASES.items():
        module, _, path = place.partition(":")
        owner: Any = importlib.import_module(module)
        *holders, name = path.split(".")
        for holder in holders:
            owner = getattr(owner, holder, None)
        if (function := getattr(owner, name, None)) is not None:
            restore.append((owner, name, function))
            setattr(owner, name, clock.timed(phase, function))
    try:
        yield
    finally:
        for owner, name, function in restore:
            setattr(owner, name, function)


class Silent:
    """The supervisor's end of the pipe, which nobody reads; and orders, of which none is to stop."""

    stop_asked = threading.Event()

    def send(self, message: object) -> None:
        pass

    def goes_on(self, why: str) -> bool:
        return True


class OneProcess:
    """A worker without processes: proposes, claims and trains as the two of them do."""

    def __init__(self, folder: Path, device: str, study: str) -> None:
        from growlab.storage import Store
        from growlab.worker.messages import Train, TrainerSetup
        from growlab.worker.trainer import _Trainer

        url = os.environ["GROWLAB_STORAGE"]
        setup = TrainerSetup(
            storage_url=url,
            artifacts=folder / "artifacts",
            device=device,
            n_threads=1 if device == "cpu" else 0,
            checkpoint_every_s=60.0,
            plugins=(),
            deterministic=False,
            patience_s=10.0,
        )
        self.trainer: Any = _Trainer(setup, Silent(), Silent())  # type: ignore[arg-type]
        self.store, self._train = Store.open(url), Train
        self.study = self.store.study(study)
        self.worker_id = self.store.register_worker(name="short_trials", device=device, versions={}, lease_s=600.0)

    def train_next(self) -> tuple[str, str]:
        """Train the next trial to its end; return how it ended, and its layout."""
        self.trainer._decide_next(self.study.study.name)
        claim = self.store.claim_next(self.study.id, self.worker_id, lease_s=600.0)
        assert claim is not None
        answer = self.trainer.answer(self._train(claim=claim, folder=f"{self.study.id}/{claim.number:05d}"))
        self.trainer.tidy()
        return answer.summary, claim.layout


def phases(worker: OneProcess, n_trials: int, n_uncounted: int) -> Iterator[dict[str, object]]:
    """Train trials and yield a row of each one's phases, and at last their means, without the first ones."""
    from growlab.training.device import wait_for

    clock = Clock(lambda: wait_for(worker.trainer.device))
    totals: dict[str, float] = {}
    n_counted = 0
    with watched(clock):
        for at in range(n_uncounted + n_trials):
            clock.take()
            summary, layout = worker.train_next()
            seconds, calls = clock.take()
            if at >= n_uncounted:
                n_counted += 1
                for phase, spent in seconds.items():
                    totals[phase] = totals.get(phase, 0.0) + spent
            row = {"layout": layout, "summary": summary, "seconds": round(sum(seconds.values()), 3), "phases": seconds}
            yield {"what": f"trial {at}", **row, "calls": calls}
    means = {phase: round(spent / n_counted, 4) for phase, spent in sorted(totals.items(), key=lambda pair: -pair[1])}
    yield {"what": "phases", "trials": n_counted, "seconds": round(sum(means.values()), 3), "phases": means}


def profile(worker: OneProcess, n_trials: int, path: Path) -> float:
    """Write what Python did while it trained so many trials; return seconds per trial."""
    worker.train_next()
    began, profiler = time.perf_counter(), cProfile.Profile()
    profiler.enable()
    for _ in range(n_trials):
        worker.train_next()
    profiler.disable()
    seconds, text = (time.perf_counter() - began) / n_trials, io.StringIO()
    stats = pstats.Stats(profiler, stream=text)
    for order in ("tottime", "cumtime"):
        stats.sort_stats(order).print_stats(70)
    path.write_text(text.getvalue())
    return seconds


def rate(corpus: Path, study: Path, slots: int, device: str, seconds: float) -> dict[str, object]:
    """Trials per hour of the command, from the end of its first 2N trials to that of the last one."""
    with created(corpus, study) as folder:
        log = folder / "log"
        with log.open("w") as file:
            name = ["worker", study.stem, "--device", device, "--slots", str(slots), "--max-time", str(seconds)]
            subprocess.run([sys.executable, "-m", "growlab", *name], check=True, stderr=file, stdout=file)
        ends, states, sizes = _ended(folder / "short.db")
    first = 2 * slots
    counted = ends[first:]
    if len(counted) < 2:
        return {"trials_per_hour": None, "trials": len(ends), "states": states}
    return {
        "trials_per_hour": round(3600 * len(counted) / (ends[-1] - ends[first - 1])),
        "trials": len(ends),
        "counted": len(counted),
        "ended_in_each_half_minute": _per_half_minute(ends),
        "states": states,
        "median_params": sizes,
    }


def _per_half_minute(ends: list[float]) -> list[int]:
    """How many ended in each whole half minute from the first end on."""
    whole = int((ends[-1] - ends[0]) // 30)
    return [sum(at <= (end - ends[0]) / 30 < at + 1 for end in ends) for at in range(whole)]


def _ended(path: Path) -> tuple[list[float], dict[str, int], int]:
    import sqlite3

    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT ended_at, state, n_params FROM gl_trials WHERE ended_at IS NOT NULL").fetchall()
    states: dict[str, int] = {}
    for _, state, _ in rows:
        states[state] = states.get(state, 0) + 1
    sizes = sorted(n for _, _, n in rows if n)
    return sorted(at for at, _, _ in rows), states, sizes[len(sizes) // 2] if sizes else 0


def main() -> None:
    parser = parser_of(__doc__, devices=True)
    parser.add_argument("--study", type=Path, default=STUDY)
    parser.add_argument("--trials", type=int, default=12, help="0: no phases")
    parser.add_argument("--uncounted", type=int, default=UNCOUNTED)
    parser.add_argument("--slots", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--mps", action="store_true")
    parser.add_argument("--label", default="", help="of the rows, to tell two versions apart")
    asked = parser.parse_args()
    corpus, rows, label = asked.corpus.resolve(), Rows(asked.out), f" {asked.label}".rstrip()
    if asked.trials:
        with created(corpus, asked.study, "n_trials=1000") as folder:
            worker = OneProcess(folder, asked.device, asked.study.stem)
            for row in phases(worker, asked.trials, asked.uncounted):
                rows.add(f"{row.pop('what')}{label}", row)
            if asked.profile:
                rows.add(f"profiled{label}", {"seconds": profile(worker, asked.trials, asked.profile)})
    for slots in asked.slots:
        options = f"--slots {slots} --seconds {asked.seconds:g}{' --mps' if asked.mps else ''}"
        found = rate(corpus, asked.study, slots, asked.device, asked.seconds)
        what = f"{slots} slot(s){', MPS' if asked.mps else ''}{label}"
        rows.add(what, found | about("short_trials.py", asked.corpus, asked.out, options))


if __name__ == "__main__":
    main()
