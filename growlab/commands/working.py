"""Workers on this machine, started and watched to their end."""

import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.commands.options import plugin_words, say
from growlab.commands.texts import path_words
from growlab.errors import GrowlabError, UsageError
from growlab.resources import n_cores

if TYPE_CHECKING:
    from growlab.fleet.local import LocalFleet
    from growlab.storage import Store, StudyRow


def devices_for(device: str, workers: int) -> list[str]:
    """The device of each worker: `workers` on the one that is named, or on every GPU for 'all'.

    Raises UsageError for 'all' on a machine without a GPU.
    """
    if device != "all":
        return [device] * workers
    from growlab.training.device import every_gpu

    return [gpu for gpu in every_gpu() for _ in range(workers)]


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
    each; 0 divides the cores between them. Raises GrowlabError when all of them failed, and KeyboardInterrupt when
    it was asked to stop and they have saved their trials.
    """
    from growlab.fleet.local import launch

    logs = artifacts / f"{row.study.name}-{row.id}" / "logs"
    threads = threads or max(1, n_cores() // len(devices))
    given = {**options, "--threads": threads}
    paths = path_words(store.study(row.study.name).study, row.study)
    extra = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    extra += [*(["--deterministic"] if deterministic else []), *plugin_words(plugins), *paths]
    stops_interrupt()
    with launch(row.study.name, devices, storage_url=storage, artifacts=artifacts, logs=logs, extra=extra) as fleet:
        say(f"{_crew(devices)} on study {row.study.name!r}; Ctrl-C stops them and keeps everything; logs in {logs}")
        try:
            _watch(store, row, fleet)
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


def slot_words(n: int) -> str:
    return f"{n} slot" + ("s" if n > 1 else "")


def stops_interrupt() -> None:
    """docker stop, systemd, Slurm and a terminal that was closed become a KeyboardInterrupt, as Ctrl-C is."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is not signal.SIG_IGN:  # nohup
            signal.signal(each, _interrupt)


def _crew(devices: Sequence[str]) -> str:
    """'2 worker(s)', and where, unless all are on one device."""
    named = f" ({', '.join(devices)})" if len(set(devices)) > 1 else ""
    return f"{len(devices)} worker(s){named}"


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _watch(store: "Store", row: "StudyRow", fleet: "LocalFleet") -> None:
    """Redraw the leaderboard on a terminal; elsewhere say a line when a trial ends. Returns when all workers left."""
    from rich.console import Console
    from rich.live import Live

    from growlab.report.live import live_table
    from growlab.report.pace import read_pace

    if sys.stderr.isatty():
        with Live(console=Console(stderr=True), refresh_per_second=2, transient=True) as live:
            while fleet.running():
                trials, counts, objective = store.trials(row.id), store.counts(row.id), row.study.objective.metric
                pace, n_trials = read_pace(store, row.id, counts), row.study.n_trials
                live.update(live_table(row.study.name, trials, counts, n_trials, pace=pace, sort_by=objective))
                time.sleep(1)
        return
    said: set[int] = set()
    while True:
        still = fleet.running()
        for trial in store.trials(row.id):
            if trial.state.is_final and trial.number not in said:
                said.add(trial.number)
                loss = "" if trial.val_loss is None else f", val_loss {trial.val_loss:.4f}"
                say(f"trial {trial.number} {trial.state}{loss}: {trial.layout}")
        if not still:
            return
        time.sleep(1)
