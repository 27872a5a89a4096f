"""How many trials at once get the most out of a device: measured with a trial of the study, not guessed.

    choose_slots   asks for the rate of 1, 2, 4 … side by side, until it grows no more
    measure        trains one trial in so many processes at once, for seconds; no database is written to

A small model leaves most of a GPU idle between its kernels; a large one fills it, or its memory.
"""

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.amounts import gib
from growlab.escapes import first_line
from growlab.records import TrialState
from growlab.search import New, Promote
from growlab.specs import TrialSpec
from growlab.storage import Store, StudyRow
from growlab.worker.causes import CONTEXT_BYTES
from growlab.worker.signals import ignore_stopping, signals_held

if TYPE_CHECKING:
    from growlab.training.run import TrialRun

MOST = 8  # slots of one device
GAIN = 1.1  # of twice as many trials, to be worth it
FREE_SHARE = 0.9  # of the free memory; models grow
SYNC_EVERY = 10  # steps, as in a trial, which then looks at its loss
PATIENCE_S = 120.0  # for all processes to load, warm up and be measured
LEAVE_S = 10.0  # for all processes to leave


def choose_slots(rate_of: Callable[[int], float | None], most: int) -> int:
    """Choose the number of trials at once after which twice as many do less than 10% more steps per second in all.

    `rate_of` is asked for 1, 2, 4 … and at last for `most`; its None says that so many do not fit, and ends it.
    """
    chosen, rate = 1, rate_of(1)
    while rate is not None and chosen < most:
        more = min(2 * chosen, most)
        faster = rate_of(more)
        if faster is None or faster / rate < GAIN:
            break
        chosen, rate = more, faster
    return chosen


# ---- what is measured ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A trial to train for a while, and where."""

    spec: TrialSpec
    device: str
    n_threads: int  # of torch on the CPU, for each process
    plugins: tuple[Path, ...] = ()  # files
    deterministic: bool = False
    seconds: float = 2.0


@dataclass(frozen=True, kw_only=True)
class Warm:
    """The message that a process is at full speed. Bytes; 0 where the device does not say."""

    peak: int  # that it holds at most
    free: int  # on the device, before


@dataclass(frozen=True)
class Failed:
    why: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    steps_per_s: float  # of all processes together
    peak: int  # bytes that one of them holds at most
    free: int  # bytes of the device, before the first of them


def next_spec(store: Store, row: StudyRow, plugins: Sequence[Path]) -> TrialSpec | None:
    """The spec that a worker would train next: that of the first in the queue, else of what is decided, not enqueued.

    None when every trial of the study has begun and none goes on from its rung.
    """
    trials = store.trials(row.id)
    for trial in trials:
        if trial.state is TrialState.QUEUED:
            return trial.spec
    from growlab.data import load_corpus
    from growlab.deciding import decided
    from growlab.plugins import load_plugins

    load_plugins(plugins)
    past = store.past_trials(row.id, row.study.metrics)
    vocab_size = load_corpus(row.study.data, row.study.curriculum).tokenizer.vocab_size
    match decided(row.study, past, vocab_size):
        case New(proposal):
            return proposal.spec
        case Promote(promotion):
            return next(trial.spec for trial in trials if trial.number == promotion.trial)
    return None


class Bench:
    """Rates of one trial by the number of processes that train it at once; remembers what it found."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.found: dict[int, Measured | Failed] = {}

    def rate_of(self, n: int) -> float | None:
        """Steps per second of `n` together; None when they do not fit or do not run."""
        why = self._no_room_for(n)
        found = Failed(why) if why else measure(self.probe, n)
        self.found[n] = found
        return found.steps_per_s if isinstance(found, Measured) else None

    def summary(self) -> str:
        """Sum up what was found: '1 slot: 301 steps/s, 2: 405, 4: out of memory'."""
        parts = []
        for n, found in self.found.items():
            slot, per_s = (" slot", " steps/s") if n == 1 else ("", "")
            figure = f"{found.steps_per_s:.0f}{per_s}" if isinstance(found, Measured) else found.why
            parts.append(f"{n}{slot}: {figure}")
        return ", ".join(parts)

    def _no_room_for(self, n: int) -> str:
        one = self.found.get(1)
        if not isinstance(one, Measured) or n * one.peak <= FREE_SHARE * one.free:
            return ""
        return f"no room, {gib(n * one.peak)} in {gib(one.free)}"


# ---- n processes ---------------------------------------------------------------------------------------------


def measure(probe: Probe, n: int) -> Measured | Failed:
    """Train the trial in `n` processes at once and add up their rates. All of them have ended when it returns."""
    deadline = time.monotonic() + PATIENCE_S
    with _spawned(probe, n) as pipes:
        warm = [_heard(pipe, deadline) for pipe in pipes]
        for pipe in pipes:  # the barrier: all begin when the last is warm
            with contextlib.suppress(OSError):
                pipe.send(None)
        rates = [] if any(isinstance(answer, Failed) for answer in warm) else [_heard(pipe, deadline) for pipe in pipes]
    heard = [*warm, *rates]
    for failed in heard:
        if isinstance(failed, Failed):
            return failed
    peaks = [answer for answer in heard if isinstance(answer, Warm)]
    return Measured(
        steps_per_s=sum(answer for answer in heard if isinstance(answer, float)),
        peak=max(peak.peak for peak in peaks),
        free=max(peak.free for peak in peaks),
    )


@contextlib.contextmanager
def _spawned(probe: Probe, n: int) -> Iterator[list[Connection]]:
    """Start processes that leave when their pipe ends; those that do not are killed."""
    context = multiprocessing.get_context("spawn")
    processes, pipes = [], []
    try:
        for _ in range(n):
            ours, theirs = context.Pipe()
            process = context.Process(target=run_probe, args=(probe, theirs), daemon=True, name="growlab-probe")
            with signals_held():
                process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()
        deadline = time.monotonic() + LEAVE_S
        for process in processes:  # by themselves, if they can: under MPS a killed process may take others with it
            process.join(max(0.0, deadline - time.monotonic()))
        for process in processes:
            process.kill()
            process.join()


def _heard(pipe: Connection, deadline: float) -> Warm | float | Failed:
    try:
        if not pipe.poll(max(0.0, deadline - time.monotonic())):
            return Failed(f"not done after {PATIENCE_S:.0f} s")
        message: Warm | float | Failed = pipe.recv()
        return message
    except (EOFError, OSError):
        return Failed("a process died")


def run_probe(probe: Probe, pipe: Connection) -> None:
    """Run one of the processes: say Warm, wait for the others, say the rate."""
    ignore_stopping()
    try:
        run, memory = _warm_run(probe)
        pipe.send(memory)
        pipe.recv()
        pipe.send(_rate(run, probe.seconds))
    except (EOFError, BrokenPipeError):
        pass  # nobody waits any more
    except Exception as error:
        from growlab.faults import is_out_of_memory

        with contextlib.suppress(OSError):
            pipe.send(Failed("out of memory" if is_out_of_memory(error) else first_line(str(error)) or repr(error)))


def _warm_run(probe: Probe) -> "tuple[TrialRun, Warm]":
    """Train steps enough to be at full speed; return the run and the memory that this took."""
    import torch

    from growlab.data import load_corpus
    from growlab.plugins import load_plugins
    from growlab.training.device import device_memory, use_device
    from growlab.training.run import fresh_run
    from growlab.training.timing import warm_up

    torch.set_num_threads(probe.n_threads)
    device = use_device(probe.device, probe.deterministic)
    load_plugins(probe.plugins)
    corpus = load_corpus(probe.spec.data, probe.spec.curriculum)
    before = device_memory(device)
    run = fresh_run(probe.spec, corpus, device)
    warm_up(run)
    after = device_memory(device)
    if before is None or after is None:
        return run, Warm(peak=0, free=0)
    return run, Warm(peak=after.peak + CONTEXT_BYTES, free=before.free + CONTEXT_BYTES)  # our own is there already


def _rate(run: "TrialRun", seconds: float) -> float:
    """Steps per second up to the last look at the loss within `seconds`.

    Not up to the first one after: by then others may have stopped, and this one had the device to itself.
    """
    from growlab.training.timing import Stopwatch, train_steps

    watch, elapsed, steps, rate = Stopwatch(), 0.0, 0, 0.0
    while True:
        train_steps(run, SYNC_EVERY)
        run.is_finite()  # waits for the device
        steps += SYNC_EVERY
        elapsed += watch.lap()
        if elapsed >= seconds:
            return rate or steps / elapsed
        rate = steps / elapsed
