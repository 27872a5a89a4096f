"""Workers on this machine, started and watched to their end."""

import math
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.commands.options import plugin_words, say
from growlab.commands.texts import path_words
from growlab.errors import GrowlabError, UsageError
from growlab.resources import STOPPING, n_cores

if TYPE_CHECKING:
    from growlab.fleet.local import LocalFleet
    from growlab.storage import Patience, Store, StudyRow

_SAID_AGAIN_S = 30.0  # without a try: the next one belongs to another outage


def devices_for(device: str, workers: int) -> list[str]:
    """The device of each worker: `workers` on the one that is named, or on every GPU for 'all'.

    Raises UsageError for one that this machine has not.
    """
    if device in ("auto", "cpu"):
        return [device] * workers
    from growlab.training.device import every_gpu, resolve_device

    if device != "all":
        resolve_device(device)
        return [device] * workers
    return [gpu for gpu in every_gpu() for _ in range(workers)]


def patient_watcher(seconds: float) -> "Patience":
    """Wait so long for a database that does not answer, and say so once each time."""
    from growlab.storage import Patience

    said_at = -math.inf

    def goes_on(why: str) -> bool:
        nonlocal said_at
        if time.monotonic() - said_at > _SAID_AGAIN_S:
            say(f"the database does not answer ({why}); waiting for it, and the workers train on")
        said_at = time.monotonic()
        return True

    return Patience(seconds, goes_on)


def work(
    store: "Store",
    row: "StudyRow",
    *,
    storage: str,
    artifacts: Path,
    devices: Sequence[str],
    options: Mapping[str, float | None],
    threads: int = 0,
    plugins: Sequence[Path] = (),
    deterministic: bool = False,
    again: str,
) -> None:
    """Start a worker on each device, with these options of growlab worker, and watch them until all have left.

    An option that is None is not given; `again` is the command line that goes on after a stop. `threads` of torch for
    each; 0 divides the cores between them, unless OMP_NUM_THREADS says how many. Raises GrowlabError when all of them
    failed, and KeyboardInterrupt when it was asked to stop and they have saved their trials.
    """
    from growlab.fleet.local import launch

    logs = artifacts / f"{row.study.name}-{row.id}" / "logs"
    threads = threads or shared_threads(len(devices))
    given = {**options, "--threads": threads}
    paths = path_words(store.study(row.study.name).study, row.study)
    extra = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    extra += [*(["--deterministic"] if deterministic else []), *plugin_words(plugins), *paths]
    stops_interrupt()
    said = {trial.number for trial in store.trials(row.id) if trial.state.is_final}
    with launch(row.study.name, devices, storage_url=storage, artifacts=artifacts, logs=logs, extra=extra) as fleet:
        say(f"{_crew(devices)} on study {row.study.name!r}; Ctrl-C stops them and keeps everything; logs in {logs}")
        try:
            _watch(store, row, fleet, said)
        except KeyboardInterrupt:
            say("stopping: each worker saves its trial …")
            fleet.stop()
            say(f"stopped; go on with: {again}")
            raise
    failures = fleet.failures()
    for failure in failures:
        say(f"warning: {failure}")
    if len(failures) == len(devices):
        usage = all(process.returncode == UsageError.exit_code for process in fleet.processes)
        raise (UsageError if usage else GrowlabError)("every worker ended with an error; see above")


def slots_for(
    store: "Store",
    row: "StudyRow",
    devices: Sequence[str],
    *,
    threads: int = 0,
    plugins: Sequence[Path] = (),
    deterministic: bool = False,
) -> int:
    """How many workers each of these devices is to have, measured on the first; says on stderr why so many."""
    from growlab.moved import moves_between, with_moved
    from growlab.training.device import resolve_device
    from growlab.worker.packing import MOST, Bench, Probe, choose_slots, next_spec

    kind = resolve_device(devices[0]).type
    if kind != "cuda":
        say(f"--slots auto: 1, as the device is {kind}, which one trial keeps busy; --slots N asks for more")
        return 1
    left = row.study.n_trials - sum(n for state, n in store.counts(row.id).items() if state.is_final)
    most = min(MOST, -(-left // len(devices)))
    spec = next_spec(store, row, plugins) if most > 1 else None
    if spec is None:
        say("--slots auto: 1, as there is no second trial to begin")
        return 1
    spec = with_moved(spec, moves_between(store.study(row.study.name).study, row.study) or {})
    say(f"--slots auto: measuring on {devices[0]} with {spec.layout} …")
    threads = threads or max(1, n_cores() // (len(devices) * most))
    probe = Probe(spec=spec, device=devices[0], n_threads=threads, plugins=tuple(plugins), deterministic=deterministic)
    bench = Bench(probe)
    chosen = choose_slots(bench.rate_of, most)
    say(f"{bench.words()} → {slot_words(chosen)}")
    return chosen


def shared_threads(n: int) -> int:
    """Of each of `n` processes, an equal share of the cores; 0, which leaves it to torch, under OMP_NUM_THREADS."""
    return 0 if os.environ.get("OMP_NUM_THREADS") else max(1, n_cores() // n)


def unfinished(store: "Store", row: "StudyRow") -> int:
    """Trials that the study wants and that have not ended."""
    return store.n_trials(row.id) - sum(n for state, n in store.counts(row.id).items() if state.is_final)


def slot_words(n: int) -> str:
    return f"{n} slot" + ("s" if n > 1 else "")


def stops_interrupt() -> None:
    """docker stop, systemd, Slurm and a terminal that was closed become a KeyboardInterrupt, as Ctrl-C is."""
    for each in set(STOPPING) - {signal.SIGINT}:
        if signal.getsignal(each) is not signal.SIG_IGN:  # nohup
            signal.signal(each, _interrupt)


def _crew(devices: Sequence[str]) -> str:
    """'2 worker(s)', and where, unless all are on one device."""
    named = f" ({', '.join(devices)})" if len(set(devices)) > 1 else ""
    return f"{len(devices)} worker(s){named}"


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _watch(store: "Store", row: "StudyRow", fleet: "LocalFleet", said: set[int]) -> None:
    """Redraw the leaderboard on a terminal; elsewhere say a line when a trial ends. Returns when all workers left.

    `said` are numbers of trials that need not be told again.
    """
    from rich.console import Console
    from rich.live import Live

    from growlab.report.live import live_table, progress_in_words
    from growlab.report.pace import read_pace

    if sys.stderr.isatty():
        with Live(console=Console(stderr=True), refresh_per_second=2, transient=True) as live:
            while fleet.running():
                trials, counts, objective = store.trials(row.id), store.counts(row.id), row.study.objective.metric
                pace, n_trials = read_pace(store, row.id, counts), store.n_trials(row.id)
                live.update(live_table(row.study.name, trials, counts, n_trials, pace=pace, sort_by=objective))
                time.sleep(1)
        return
    while True:
        still = fleet.running()
        ended = [trial for trial in store.trials(row.id) if trial.state.is_final and trial.number not in said]
        for trial in ended:
            said.add(trial.number)
            loss = "" if trial.val_loss is None else f", val_loss {trial.val_loss:.4f}"
            say(f"trial {trial.number} {trial.state}{loss}: {trial.layout}")
        if ended:
            counts = store.counts(row.id)
            say(progress_in_words(counts, store.n_trials(row.id), read_pace(store, row.id, counts)))
        if not still:
            return
        time.sleep(1)
