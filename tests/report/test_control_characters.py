"""Whatever bytes a database holds, no terminal obeys them: not in a table, a page, a pipe or a file of values."""

import io
import json
import re
import sqlite3
from contextlib import closing

import pytest

from growlab.escapes import has_controls
from growlab.records import GrowthEvent
from growlab.report.formats import FORMATS, render, write_json
from growlab.report.leaderboard import leaderboard
from growlab.report.live import live_table
from growlab.report.terminal import console_for
from growlab.report.title import read_title
from growlab.report.trial_facts import trial_as_mapping
from growlab.report.trial_page import trial_page

EVIL = "\x1b]0;owned\x07\x1b[2J\x7f\x9b1m\u202eevil"
SEEN = "␛]0;owned␇␛[2J␡�1m�evil"
TEXTS = {
    "gl_trials": ("layout", "layout_end", "sample", "error", "engine"),
    "gl_workers": ("name", "host", "device"),
    "gl_attempts": ("note",),
    "gl_growth_events": ("unit", "operator", "reason"),
    "gl_artifacts": ("kind", "path", "sha256"),
    "gl_decisions": ("origin", "mutation"),
    "gl_studies": ("name",),
}


@pytest.fixture
def evil_row(store, study_row, run_trial, result_of, losses, tmp_path):
    """A study of one trial, all of whose texts were written by somebody else."""
    event = GrowthEvent(
        step=50,
        position=1,
        unit="attn mlp",
        operator="aiether",
        reason="stagnation",
        tau=2.5,
        kappa=0.7,
        val_loss_before=2.0,
        val_loss_after=2.1,
        depth_before=2,
        depth_after=4,
        n_params_after=9,
    )
    run_trial(0, facts=[*losses, event], result=result_of(sample="x", error="x"))
    with closing(sqlite3.connect(tmp_path / "growlab.db")) as connection, connection:
        for table, columns in TEXTS.items():
            connection.execute(f"UPDATE {table} SET {', '.join(f'{name} = :evil' for name in columns)}", {"evil": EVIL})
        connection.execute("UPDATE gl_trials SET params = json_object(:evil, :evil)", {"evil": EVIL})
    return study_row


@pytest.fixture
def title(store, evil_row):
    return f"{EVIL} {read_title(store, evil_row)}"


@pytest.mark.parametrize("format", FORMATS)
def test_a_leaderboard_holds_none(store, evil_row, title, format):
    stream = io.StringIO()

    render(leaderboard(store.trials(evil_row.id)), format, stream, title=title)

    assert not has_controls(stream.getvalue())
    if format == "json":
        assert json.loads(stream.getvalue())[0]["layout"] == EVIL
    else:
        assert SEEN in stream.getvalue()


def test_the_page_of_a_trial_holds_none(store, evil_row):
    stream = io.StringIO()

    trial_page(store, evil_row, 0, stream)

    assert not has_controls(stream.getvalue())
    assert stream.getvalue().count("owned") >= 10


def test_the_json_of_a_trial_escapes_them(store, evil_row):
    stream = io.StringIO()

    write_json(trial_as_mapping(store, evil_row, 0), stream)

    assert not has_controls(stream.getvalue())
    assert json.loads(stream.getvalue())["params"] == {EVIL: EVIL}


def test_on_a_terminal_nothing_but_styles_is_obeyed(store, evil_row, title, terminal):
    stream = terminal(200)
    trials = store.trials(evil_row.id)

    render(leaderboard(trials), "table", stream, title=title)
    trial_page(store, evil_row, 0, stream)
    console_for(stream).print(live_table(EVIL, trials, store.counts(evil_row.id), 10))

    assert not has_controls(re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()))
