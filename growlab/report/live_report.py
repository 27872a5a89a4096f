"""The report of a study, redrawn in place while the study goes on."""

import time
from collections.abc import Callable
from typing import TextIO

from growlab.report.overview import DONE, OVER
from growlab.report.study_page import print_study, study_parts
from growlab.report.study_report import StudyReport
from growlab.report.terminal import console_for

LEAST_ROWS = 5
_BESIDE_ROWS = 16  # lines of a screen for all that is no row of the leaderboard
_PAUSE_S = 2.0
_SHARE = 10  # a report that takes long to read is read the less often


def rows_on_screen(n_lines: int) -> int:
    """The number of the leaderboard's rows for a screen of so many lines."""
    return max(LEAST_ROWS, n_lines - _BESIDE_ROWS)


def watch(read: Callable[[], StudyReport], stream: TextIO, sleep: Callable[[float], None] = time.sleep) -> None:
    """Draw what `read` gives again and again, until the study has ended or somebody interrupts; then print it whole."""
    from rich.console import Group
    from rich.live import Live

    console = console_for(stream)
    report = read()
    try:
        if report.overview.state in (DONE, OVER):
            return
        with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="ellipsis") as live:
            while report.overview.state not in (DONE, OVER):
                live.update(Group(*study_parts(report, console)), refresh=True)
                sleep(_PAUSE_S)
                began = time.monotonic()
                report = read()
                sleep((time.monotonic() - began) * _SHARE)
    except KeyboardInterrupt:  # that is how one leaves
        pass
    finally:
        print_study(report, stream)
