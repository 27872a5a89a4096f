"""How a study stands, as a person sees it and as a program gets it."""

import io
import json
import math

import pytest

from growlab.errors import UnknownName, UsageError
from growlab.records import Metric, TrialState
from growlab.report.formats import write_json
from growlab.report.live_report import LEAST_ROWS, rows_on_screen, watch
from growlab.report.overview import DONE, NOT_BEGUN, RUNNING, SILENT, WAITING
from growlab.report.selection import Selection, read_columns
from growlab.report.shapes import STUDY
from growlab.report.study_mapping import study_as_mapping
from growlab.report.study_page import print_study
from growlab.report.study_report import read_study_report


@pytest.fixture
def report(store, study_row):
    return lambda **asked: read_study_report(store, store.study("nightly"), **asked)


@pytest.fixture
def ran(run_trial, result_of):
    """Two trials that completed, one that diverged, one that is being trained."""
    run_trial(0, result=result_of(n_params=3_000_000), layout="d=8 attn[n_heads=2] mlp")
    run_trial(1, result=result_of(val_loss=1.6, n_params=1_000_000), layout="d=8 attn[n_heads=2] mamba mlp")
    run_trial(2, result=result_of(state=TrialState.DIVERGED, val_loss=math.nan, error="val_loss was nan at step 40"))
    run_trial(3, facts=[Metric(step=1, split="train", name="tokens_per_s", value=12_300.0)])


def sql(store, statement):
    """As somebody might edit the database."""
    store._database.write(lambda connection: connection.exec_driver_sql(statement))


def printed(report, stream=None):
    stream = stream or io.StringIO()
    print_study(report, stream)
    return stream.getvalue()


@pytest.mark.usefixtures("ran")
def test_it_tells_state_spending_workers_and_failures(report):
    text = printed(report())

    lines = text.splitlines()
    assert (
        lines[0] == "nightly: 3 of 10 trials ended (1 running, 2 completed, 1 diverged), by val_loss, lower is better"
    )
    assert lines[1].startswith("running · spent 13.5 TFLOPs and ")
    workers, failures = (lines[lines.index(heading) + 3].split() for heading in ("workers", "failures"))
    assert (workers[0], workers[2:7], workers[7]) == ("gpu0", ["cuda:0", "trial", "3,", "step", "1"], "12.3k")
    assert failures == ["1", "diverged", "val_loss", "was", "nan", "at", "step", "40", "2"]


@pytest.mark.usefixtures("ran")
def test_rows_and_columns_are_chosen_and_the_rest_is_counted(report):
    selection = Selection(where="has mlp and state = completed", columns=("layout", "params", "lr"), top=1)

    text = printed(report(selection=selection, sort_by="-params"))

    assert "2 of 4 trials where has mlp and state = completed" in text
    header, _, row, more = text.splitlines()[4:8]
    assert header.split() == ["layout", "params", "lr"]
    assert row.split() == ["d=8", "attn[n_heads=2]", "mlp", "3.00M", "0.003122"]
    assert more == "and 1 more: use --top 0 for all"


@pytest.mark.usefixtures("ran")
def test_a_condition_that_no_trial_satisfies_says_so(report):
    assert "none of 4 trials where val_loss < 1" in printed(report(selection=Selection(where="val_loss < 1")))


@pytest.mark.usefixtures("ran")
def test_json_has_every_part_and_the_same_selection(report):
    stream = io.StringIO()
    found = report(selection=Selection(where="has mamba", columns=("rank", "trial")), sort_by="-trial")
    write_json(study_as_mapping(found), stream)

    whole = json.loads(stream.getvalue())

    assert list(whole) == ["shape", "study", "spent", "selection", "trials", "front", "workers", "failures"]
    assert (whole["shape"], whole["study"]["state"], whole["front"]) == (STUDY, RUNNING, None)
    assert whole["selection"] == {
        "where": "has mamba",
        "sort_by": "-trial",
        "top": 0,
        "n_matching": 1,
        "n_trials": 4,
    }
    assert whole["trials"] == [{"rank": 2, "trial": 1}]
    assert (whole["spent"]["flops"], whole["spent"]["limits"]) == (13_500_000_000_000, {})
    assert whole["failures"] == [{"state": "diverged", "cause": "val_loss was nan at step 40", "trials": [2]}]
    assert [(worker["name"], worker["trial"], worker["is_heard"]) for worker in whole["workers"]] == [("gpu0", 3, True)]


def test_an_empty_study_is_a_report_too(report):
    found = report(selection=Selection(where="train.lr < 1 and has attn"))

    assert found.overview.state == NOT_BEGUN
    assert printed(found).splitlines()[1:] == ["not begun", "no trials yet"]
    assert study_as_mapping(found)["trials"] == []


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        (Selection(columns=("rank", "los")), UnknownName, "unknown column 'los'; known: "),
        (Selection(where="train.dropout < 1"), UsageError, "unknown column 'train.dropout'"),  # fixed in this study
        (Selection(where="has mamba2"), UsageError, "no layout here has 'mamba2'; there are: attn, mlp"),
        (Selection(top=-1), UsageError, "--top must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_selected_is_refused(report, selection, error, message):
    with pytest.raises(error, match=message):
        report(selection=selection)


def test_a_list_of_columns_has_no_empty_name():
    assert read_columns("rank, val_loss") == ("rank", "val_loss")
    with pytest.raises(UsageError, match="has an empty name; write it like rank,layout"):
        read_columns("rank,,val_loss")


def test_the_state_says_whether_somebody_works(store, study_row, report, run_trial, result_of):
    run_trial(0, result=result_of())
    [worker] = store.workers(study_row.id)
    assert report().overview.state == RUNNING  # its worker is between two trials

    run_trial(1, facts=[])
    with_lease = report().overview
    sql(store, "UPDATE gl_trials SET lease_expires_at = 1 WHERE number = 1")
    assert (with_lease.state, report().overview.state) == (RUNNING, SILENT)

    sql(store, "UPDATE gl_trials SET state = 'queued', lease_expires_at = NULL WHERE number = 1")
    store.end_worker(1)
    assert (worker.name, report().overview.state) == ("gpu0", WAITING)

    store.set_n_trials("nightly", 2)
    sql(store, "UPDATE gl_trials SET state = 'failed' WHERE number = 1")
    assert report().overview.state == DONE


def test_at_eighty_columns_it_keeps_what_people_decide_by(ran, report, terminal):
    stream = terminal(80)

    printed(report(), stream)

    assert max(map(len, stream.lines)) <= 80
    header = next(line for line in stream.lines if line.lstrip().startswith("rank"))
    assert {"rank", "layout", "params", "val_loss"} <= set(header.split())
    assert "left out of layouts, as it is the same wherever it stands: d=8," in " ".join(stream.lines)


def test_it_is_redrawn_until_the_study_is_done_and_then_stays(store, report, run_trial, result_of, terminal):
    stream, naps = terminal(100), list[float]()
    store.set_n_trials("nightly", 1)
    run_trial(0, facts=[])

    def nap(seconds):
        naps.append(seconds)
        claim_and_finish = "UPDATE gl_trials SET state = 'completed', lease_expires_at = NULL"
        sql(store, claim_and_finish)

    watch(report, stream, nap)

    assert len(naps) == 2
    assert sum(line.startswith("done · spent") for line in stream.lines) == 1
    assert sum("0 of 1 trials ended (1 running)" in line for line in stream.lines) >= 1


def test_an_interrupt_leaves_the_last_screen(report, run_trial, terminal):
    run_trial(0, facts=[])
    stream = terminal(100)

    def interrupted(seconds):
        raise KeyboardInterrupt

    watch(report, stream, interrupted)

    assert sum("0 of 10 trials ended (1 running)" in line for line in stream.lines) >= 2
    assert any(line.startswith("gpu0") for line in stream.lines[-3:])


def test_a_screen_has_room_for_some_rows_however_low_it_is():
    assert (rows_on_screen(60), rows_on_screen(10)) == (44, LEAST_ROWS)
