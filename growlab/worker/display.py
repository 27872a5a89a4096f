"""What a person sees of a worker: a live panel on a terminal, plain lines elsewhere. On stderr."""

import contextlib
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from growlab import amounts
from growlab.escapes import readable, visible
from growlab.records import RungReading, TrialProgress, TrialState
from growlab.storage import Claim

LINE_EVERY_S = 10.0


class Display(Protocol):
    """A view of a worker, told of everything that a person may want to see."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def started(self, claim: Claim) -> None: ...

    def began(self, claim: Claim, step: int, note: str) -> None:
        """Show that training goes on from this step; `note` says why not from the checkpoint's."""
        ...

    def progress(self, claim: Claim, progress: TrialProgress) -> None: ...

    def away(self, why: str) -> None:
        """Show that the database does not answer, for this reason; with '' it does again."""
        ...

    def note(self, message: str) -> None:
        """Show a message of the worker itself."""
        ...

    def ended(self, claim: Claim, summary: str) -> None: ...

    def waiting(self, counts: Mapping[TrialState, int]) -> None: ...


def display_for(stream: TextIO, study: str) -> Display:
    return LiveDisplay(stream, study) if stream.isatty() else LineDisplay(stream)


class LineDisplay:
    """A view of one line per event, and now and then one of progress."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._reported_at = 0.0
        self._is_waiting = False
        self._away = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def started(self, claim: Claim) -> None:
        self._is_waiting = False
        self._reported_at = time.monotonic()
        self._say(f"trial {claim.number}: {claim.layout}")

    def began(self, claim: Claim, step: int, note: str) -> None:
        if message := beginning_text(step, note):
            self._say(f"trial {claim.number}: {message}")

    def progress(self, claim: Claim, progress: TrialProgress) -> None:
        if time.monotonic() - self._reported_at >= LINE_EVERY_S:
            self._reported_at = time.monotonic()
            self._say(f"trial {claim.number}: {progress_text(progress)}")

    def away(self, why: str) -> None:
        before, self._away = self._away, why
        if message := turn_text(before, why):
            self._say(message)

    def note(self, message: str) -> None:
        self._say(message)

    def ended(self, claim: Claim, summary: str) -> None:
        self._say(f"trial {claim.number}: {summary}")

    def waiting(self, counts: Mapping[TrialState, int]) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self._say(waiting_text(counts))

    def _say(self, message: str) -> None:
        with contextlib.suppress(OSError):  # the log's disk is full, or its reader has gone: training goes on
            print(readable(message), file=self._stream, flush=True)


class LiveDisplay:
    """A panel that is redrawn; what has ended stays above it."""

    def __init__(self, stream: TextIO, study: str) -> None:
        self._study = study
        self._away, self._beginning = "", ""
        self._live = Live(console=Console(file=stream), refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._live.update(Text("starting …", style="dim"))
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the terminal has gone
            self._live.stop()

    def started(self, claim: Claim) -> None:
        self._beginning = ""
        self._live.update(Text(visible(f"trial {claim.number}: {claim.layout}")))

    def began(self, claim: Claim, step: int, note: str) -> None:
        self._beginning = readable(beginning_text(step, note))
        self._live.update(Text(f"trial {claim.number}: {visible(claim.layout)}\n{self._beginning}".strip()))

    def progress(self, claim: Claim, progress: TrialProgress) -> None:
        self._live.update(self._panel(claim, progress))

    def away(self, why: str) -> None:
        before, self._away = self._away, why
        if message := turn_text(before, why):
            self.note(message)

    def note(self, message: str) -> None:
        with contextlib.suppress(OSError):  # the terminal has gone: training goes on
            self._live.console.print(readable(message), markup=False, highlight=False)

    def ended(self, claim: Claim, summary: str) -> None:
        self.note(f"trial {claim.number}: {summary}")
        self._live.update(Text("looking for the next trial …", style="dim"))

    def waiting(self, counts: Mapping[TrialState, int]) -> None:
        self._live.update(Text(waiting_text(counts), style="dim"))

    def _panel(self, claim: Claim, progress: TrialProgress) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", justify="right")
        table.add_column()
        table.add_row("study", f"{self._study}, trial {claim.number}")
        table.add_row("layout", Text(visible(claim.layout)))
        if self._beginning:
            table.add_row("began", Text(self._beginning))
        table.add_row("depth", f"{progress.depth} blocks, {progress.phase}")
        table.add_row("progress", ProgressBar(total=1.0, completed=progress.progress, width=40))
        table.add_row("step", f"{progress.step:,}")
        table.add_row("loss", f"train {_number(progress.train_loss)}, val {_number(progress.val_loss)}")
        table.add_row("τ, κ", f"{_number(progress.tau, 2)}, {_number(progress.kappa, 2)}")
        table.add_row("tokens/s", f"{progress.tokens_per_s:,.0f}")
        table.add_row("time left", amounts.time_left(progress.remaining_s))
        if self._away:
            table.add_row("database", Text(f"does not answer: {self._away}", style="yellow"))
        return table


def progress_text(progress: TrialProgress) -> str:
    return (
        f"{progress.progress:.0%}, step {progress.step}, depth {progress.depth} ({progress.phase}), "
        f"train {_number(progress.train_loss)}, val {_number(progress.val_loss)}, "
        f"τ {_number(progress.tau, 2)}, κ {_number(progress.kappa, 2)}, "
        f"{progress.tokens_per_s:,.0f} tokens/s, {amounts.time_left(progress.remaining_s)} left"
    )


def beginning_text(step: int, note: str) -> str:
    """Describe the beginning of an attempt that is not simply a trial's first; '' of that."""
    return note or (f"resumed from step {step}" if step else "")


def turn_text(before: str, why: str) -> str:
    """Say that the database went away, or came back; '' for neither."""
    if why and not before:
        return f"the database does not answer ({why}); waiting for it, and what is being trained trains on"
    return "the database answers again" if before and not why else ""


def waiting_text(counts: Mapping[TrialState, int]) -> str:
    running, paused = counts.get(TrialState.RUNNING, 0), counts.get(TrialState.PAUSED, 0)
    at_rungs = f"; {paused} wait at a rung" if paused else ""
    return f"waiting: {running} trial(s) are running elsewhere and would be taken over if their worker died{at_rungs}"


def paused_text(claim: Claim, reading: RungReading) -> str:
    """Say where a trial waits, 'paused at rung 1 of 2: val_loss 1.8312'."""
    of = f" of {len(claim.ladder.rungs.shares)}" if claim.ladder else ""
    return f"paused at rung {reading.rung + 1}{of}: val_loss {_number(reading.val_loss)}"


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None or value != value else f"{value:.{digits}f}"
