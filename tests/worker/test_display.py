"""What a person reads of a worker, event by event."""

import io
from dataclasses import dataclass
from typing import cast

import pytest

from growlab.storage import Claim
from growlab.worker.display import LiveDisplay, PlainDisplay

CLAIM = cast(Claim, type("ClaimOfTrial", (), {"number": 5, "layout": "d=16 conv mlp"}))


@dataclass
class Screen:
    display: PlainDisplay | LiveDisplay
    stream: io.StringIO

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def plain() -> Screen:
    stream = io.StringIO()
    return Screen(PlainDisplay(stream), stream)


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
