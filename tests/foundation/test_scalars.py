"""A value that a study can set is declared once, and everything that is known of it comes from there."""

import re
from dataclasses import dataclass, replace

import pytest

from growlab.domains import Fixed, Range
from growlab.errors import SpecError
from growlab.scalar import before_of, check_scalars, defaults_of, scalar, scalars_of, with_defaults


@dataclass(frozen=True, kw_only=True)
class OvenSpec:
    heat: float = scalar(180.0, above=0, at_most=300, search=Range(low=150.0, high=250.0), help="°C")
    shelf: int = scalar(2, at_least=1, why="the lowest one is 1", help="from below")
    fan: bool = scalar(False, since="0.2.0", before=True, help="moves the air")
    mode: str = scalar("bake", choices=("bake", "grill", "steam"), help="what it does")

    def __post_init__(self) -> None:
        check_scalars("oven", self)


def test_a_silent_study_gets_the_defaults_and_a_spec_has_none():
    assert defaults_of(OvenSpec)["heat"] == Fixed(value=180.0)
    assert with_defaults(OvenSpec, shelf=3) == OvenSpec(heat=180.0, shelf=3, fan=False, mode="bake")
    with pytest.raises(TypeError, match="missing 4 required"):
        OvenSpec()


def test_a_row_written_before_a_key_has_what_it_meant_then_whatever_the_default_is_now():
    assert before_of(OvenSpec) == {"fan": True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heat": 0.0}, "oven.heat must be greater than 0 and at most 300, got 0.0"),
        ({"heat": 300.5}, "oven.heat must be greater than 0 and at most 300, got 300.5"),
        ({"heat": float("nan")}, "oven.heat must be a finite number, got nan"),
        ({"shelf": 0}, "oven.shelf must be at least 1 (the lowest one is 1), got 0"),
        ({"mode": "fry"}, "oven.mode must be bake, grill or steam, got 'fry'"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused_by_name(change, message):
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        replace(with_defaults(OvenSpec), **change)


def test_bounds_that_are_reached_are_allowed():
    assert with_defaults(OvenSpec, heat=300.0, shelf=1).heat == 300.0


def test_what_search_means_stands_beside_the_default():
    known = scalars_of(OvenSpec)

    assert known["heat"].search == Range(low=150.0, high=250.0)
    assert known["shelf"].search is None
    assert known["heat"].type is float


def test_who_comes_later_must_say_what_rows_before_meant():
    with pytest.raises(AssertionError, match="rows before"):
        scalar(1, since="0.2.0", help="")
