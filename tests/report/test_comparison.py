"""Trials side by side: which are meant, what they differ in, what each had where the cheapest ended."""

import csv
import io
import json

import pytest

from growlab.errors import NotFound, UsageError
from growlab.records import Metric
from growlab.report.comparison import TrialName, read_comparison, read_names
from growlab.report.comparison_page import render_comparison


def course(flops_per_step, *losses):
    return [
        metric
        for at, loss in enumerate(losses, start=1)
        for metric in (
            Metric(step=10 * at, split="train", name="flops", value=10 * at * flops_per_step),
            Metric(step=10 * at, split="val", name="loss", value=loss),
        )
    ]


@pytest.fixture
def compared(store, run_trial, result_of):
    run_trial(0, facts=course(100.0, 3.0, 2.0, 1.5), result=result_of(val_loss=1.5), layout="d=8 attn[n_heads=2] mlp")
    run_trial(1, facts=course(50.0, 3.0, 2.5), result=result_of(val_loss=2.5), layout="d=8 attn[n_heads=2] conv")
    return read_comparison(store, read_names(["nightly", "1", "0"]))


def rendered(compared, format, stream=None):
    stream = stream or io.StringIO()
    render_comparison(compared, format, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["a", "3", "5"], [("a", 3), ("a", 5)]),
        (["a:3", "5", "b:7"], [("a", 3), ("a", 5), ("b", 7)]),
        (["a", "3", "b:3", "3"], [("a", 3), ("b", 3)]),
        (["x:y:3", "4"], [("x:y", 3), ("x:y", 4)]),
    ],
)
def test_a_number_alone_is_of_the_study_named_first(words, names):
    assert read_names(words) == [TrialName(*name) for name in names]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a"], "needs two trials at least"),
        (["a:3", "3"], "needs two trials at least"),
        (["a", "3", "b"], "'b' names no trial; write a number of a, or STUDY:NUMBER"),
        (["a:x"], "'a:x' names no trial"),
        ([":3", "4"], "':3' is a trial of no study; write STUDY:3, or the study first"),
    ],
)
def test_a_slip_in_the_names_is_said(words, message):
    with pytest.raises(UsageError, match=message):
        read_names(words)


def test_they_are_compared_where_the_cheapest_one_ended(compared):
    assert compared.equal_flops == 1000
    assert {str(trial.name): trial.at_equal_flops for trial in compared.trials} == {"nightly:1": 2.5, "nightly:0": 3.0}


def test_people_see_a_column_for_each_and_what_they_differ_in(compared, terminal):
    stream = terminal(100)

    rendered(compared, "table", stream)

    cells = {line.split()[0]: line.split()[1:] for line in stream.lines if line.strip()}
    assert cells["nightly:1"] == ["nightly:0"]
    assert cells["val_loss"] == ["2.5000", "1.5000"]
    assert cells["layout"] == ["attn", "conv", "attn", "mlp"]
    assert "at equal FLOPs: val_loss at 1.00 kFLOPs, where the cheapest of them ended" in stream.lines


def test_a_narrow_terminal_has_them_below_one_another(compared, terminal):
    stream = terminal(40)

    rendered(compared, "table", stream)

    assert max(map(len, stream.lines)) <= 40
    assert sum(line.startswith("val_loss") for line in stream.lines) == 2


def test_programs_get_all_of_it(compared):
    whole = json.loads(rendered(compared, "json"))
    rows = list(csv.DictReader(io.StringIO(rendered(compared, "tsv")), delimiter="\t"))

    assert whole["shape"] == "growlab.report.comparison/1"
    assert whole["trials"][0]["curve"] == [{"flops": 500, "val_loss": 3.0}, {"flops": 1000, "val_loss": 2.5}]
    assert whole["trials"][1]["values"]["train.lr"] == pytest.approx(0.003, abs=0.01)
    assert [(row["study"], row["number"], row["at_equal_flops"]) for row in rows] == [
        ("nightly", "1", "2.5"),
        ("nightly", "0", "3.0"),
    ]


def test_a_trial_or_a_study_that_there_is_not_is_named(store, compared):
    with pytest.raises(NotFound, match="no trial 7; the study has trials 0 to 1"):
        read_comparison(store, read_names(["nightly", "0", "7"]))
    with pytest.raises(NotFound, match="no study 'other'; known: nightly"):
        read_comparison(store, read_names(["nightly:0", "other:1"]))
