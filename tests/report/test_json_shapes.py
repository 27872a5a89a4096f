"""docs/report-json.md names every key that a report has, and every shape."""

import re
from pathlib import Path

import pytest

from growlab.records import Metric, TrialState
from growlab.report.columns import COLUMNS
from growlab.report.comparison import comparison_as_mapping, read_comparison, read_names
from growlab.report.group_table import groups_as_mapping
from growlab.report.groups import read_groups
from growlab.report.shapes import SHAPES
from growlab.report.study_mapping import study_as_mapping
from growlab.report.study_report import read_study_report
from growlab.report.trial_facts import trial_as_mapping

PAGE = Path(__file__).parents[2] / "docs" / "report-json.md"


@pytest.fixture(scope="session")
def sections():
    """What the page says of each shape: all words in its code."""
    parts = re.split(r"^## `(.+)`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {shape: set(re.findall(r"`([^`]+)`", text)) for shape, text in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.fixture
def found(store, study_row, run_trial, result_of):
    facts = [
        Metric(step=10, split="val", name="loss", value=2.0),
        Metric(step=10, split="train", name="flops", value=9.0),
    ]
    run_trial(0, result=result_of(), facts=facts)
    run_trial(1, result=result_of(), facts=facts)
    run_trial(2, result=result_of(state=TrialState.DIVERGED, error="nan"))
    run_trial(3, facts=facts)
    return [
        study_as_mapping(read_study_report(store, study_row)),
        trial_as_mapping(store, study_row, 0),
        comparison_as_mapping(read_comparison(store, read_names(["nightly", "0", "1"]))),
        groups_as_mapping(read_groups(store, [study_row], "seed", margin=0.01)),
    ]


def test_every_shape_has_a_section(sections):
    assert tuple(sections) == SHAPES


def test_every_key_of_a_report_is_described(found, sections):
    for mapping in found:
        described = sections[mapping["shape"]]
        keys = set(mapping) - {"shape"}
        for part in ("study", "spent", "selection", "workers", "failures", "trials", "metrics", "groups"):
            held = mapping.get(part)
            first = held[0] if isinstance(held, list) and held else held
            keys |= set(first) if isinstance(first, dict) else set()
        result = {*sections["growlab.report.trial/1"]} if mapping["shape"].endswith("comparison/1") else set()
        searched = {key for key in keys if "." in key}
        assert keys - searched <= described | result, mapping["shape"]


def test_every_column_of_the_leaderboard_is_described(sections):
    assert {column.name for column in COLUMNS} <= sections[SHAPES[0]]
