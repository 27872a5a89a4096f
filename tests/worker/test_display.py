"""What a person reads of a worker, event by event."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import pytest
from rich.console import Console

from growlab.records import TrialProgress, TrialState
from growlab.storage import Claim
from growlab.worker.display import LineDisplay, LiveDisplay, display_for, progress_text

CLAIM = cast(Claim, type("ClaimOfTrial", (), {"number": 5, "layout": "d=16 conv mlp"}))


@dataclass
class Screen:
    display: LineDisplay | LiveDisplay
    stream: io.StringIO

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def plain() -> Screen:
    stream = io.StringIO()
    return Screen(LineDisplay(stream), stream)


@pytest.fixture
def live() -> Screen:
    stream = io.StringIO()
    return Screen(LiveDisplay(stream, "tiny"), stream)


def test_a_trial_is_said_to_be_resumed_once_it_is_and_from_where(plain: Screen) -> None:
    plain.display.started(CLAIM)
    plain.display.began(CLAIM, 265, "")

    assert plain.lines == ["trial 5: d=16 conv mlp", "trial 5: resumed from step 265"]


def test_a_trial_whose_checkpoint_is_damaged_is_not_said_to_be_resumed(plain: Screen) -> None:
    plain.display.began(CLAIM, 0, "started again from step 0: checkpoint-265 is damaged")

    assert plain.lines == ["trial 5: started again from step 0: checkpoint-265 is damaged"]


def test_of_a_trial_that_simply_begins_nothing_more_is_said(plain: Screen) -> None:
    plain.display.began(CLAIM, 0, "")

    assert plain.lines == []


@pytest.mark.parametrize("kind", ["plain", "live"])
def test_a_database_that_is_away_is_said_once_and_so_is_its_return(kind: str, request: pytest.FixtureRequest) -> None:
    screen: Screen = request.getfixturevalue(kind)
    for why in ("", "connection refused", "connection refused", "starting up", "", ""):
        screen.display.away(why)

    said = " ".join(screen.stream.getvalue().split())
    assert said == (
        "the database does not answer (connection refused); waiting for it, and what is being trained trains on "
        "the database answers again"
    )


# ---- how far a trial is ------------------------------------------------------------------------------------------

PROGRESS = TrialProgress(
    step=1200,
    progress=0.5,
    depth=4,
    phase="warm-up",
    train_loss=2.0,
    val_loss=None,
    tau=1.25,
    kappa=float("nan"),
    tokens_per_s=12_345.6,
    remaining_s=3900.0,
)


def test_progress_is_said_in_a_log_when_ten_seconds_have_gone_by_and_not_before(
    plain: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    plain.display.started(CLAIM)
    for now in (109.9, 110.0, 119.9, 120.0):
        plain.display.progress(CLAIM, replace(PROGRESS, step=int(now)))

    assert [line.partition(", depth")[0] for line in plain.lines[1:]] == [
        "trial 5: 50%, step 110",
        "trial 5: 50%, step 120",
    ]


def test_the_line_of_progress_has_a_dash_for_what_is_not_known() -> None:
    assert progress_text(PROGRESS) == (
        "50%, step 1200, depth 4 (warm-up), train 2.0000, val –, τ 1.25, κ –, 12,346 tokens/s, 1 h 05 min left"
    )


def panel(live: Screen) -> str:
    """What the panel shows, a row in a line, without its spaces."""
    console = Console(file=io.StringIO(), width=100)
    console.print(live.display._live.renderable)
    return "\n".join(" ".join(line.split()) for line in console.file.getvalue().splitlines())


def test_a_panel_shows_how_the_trial_began_and_that_the_database_is_away(live: Screen) -> None:
    live.display.started(CLAIM)
    live.display.began(CLAIM, 265, "")
    live.display.away("connection refused")
    live.display.progress(CLAIM, PROGRESS)

    shown = panel(live)
    assert "study tiny, trial 5\nlayout d=16 conv mlp\nbegan resumed from step 265\n" in shown
    assert "loss train 2.0000, val –\nτ, κ 1.25, –\ntokens/s 12,346\ntime left 1 h 05 min\n" in shown
    assert shown.endswith("database does not answer: connection refused")


def test_the_panel_of_the_next_trial_has_nothing_of_the_one_before(live: Screen) -> None:
    live.display.began(CLAIM, 265, "")
    live.display.away("connection refused")
    live.display.away("")
    live.display.started(CLAIM)
    live.display.progress(CLAIM, PROGRESS)

    assert "resumed" not in panel(live)
    assert "database" not in panel(live)


# ---- waiting, and nobody who reads ---------------------------------------------------------------------------------


def test_that_a_worker_waits_is_said_once_until_it_trains_again(plain: Screen) -> None:
    for _ in range(2):
        for _ in range(3):
            plain.display.waiting({TrialState.RUNNING: 2})
        plain.display.started(CLAIM)

    waits = "waiting: 2 trial(s) are running elsewhere and would be taken over if their worker died"
    assert plain.lines == [waits, "trial 5: d=16 conv mlp"] * 2


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("kind", [LineDisplay, lambda stream: LiveDisplay(stream, "tiny")], ids=["plain", "live"])
def test_a_display_that_nobody_can_read_stops_no_worker(
    kind: Callable[[io.StringIO], LineDisplay | LiveDisplay],
) -> None:
    display = kind(FullDisk())

    display.note("a note")
    display.ended(CLAIM, "completed")


def test_a_terminal_has_a_panel_and_a_log_has_lines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(display_for(Terminal(), "tiny"), LiveDisplay)
    assert isinstance(display_for(io.StringIO(), "tiny"), LineDisplay)
