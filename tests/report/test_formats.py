"""What is written can be read back digit for digit; what is drawn is never cut and never interpreted."""

import csv
import io
import json
from dataclasses import asdict, fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growlab.errors import UnknownName
from growlab.records import TrialState
from growlab.report.formats import COLUMNS, render
from growlab.report.leaderboard import LeaderboardRow, leaderboard
from growlab.report.title import title_of

LONG_LAYOUT = "d=192 " + " ".join(f"conv[kernel={at}] attn[heads_per_kv=2,n_heads=8]" for at in range(2, 10))

whole = st.integers(0, 2**62)
numbers = st.floats(allow_nan=False, allow_infinity=False)
rows_of = st.builds(
    LeaderboardRow,
    rank=st.none() | whole,
    trial=whole,
    layout=st.sampled_from(["d=8 attn[n_heads=2] mlp", LONG_LAYOUT, 'd=8 "odd", name']),
    depth_start=whole,
    depth_end=st.none() | whole,
    n_params=st.none() | whole,
    val_loss=st.none() | numbers,
    best_val_loss=st.none() | numbers,
    bits_per_byte=st.none() | numbers,
    flops=st.none() | whole,
    tokens=st.none() | whole,
    elapsed_s=st.none() | numbers,
    state=st.sampled_from(list(TrialState)),
    engine=st.sampled_from([None, "eager", "compiled graph"]),
    accuracy=st.none() | st.floats(0, 1),
)


def rendered(rows, format, **more):
    stream = io.StringIO()
    render(rows, format, stream, **more)
    return stream.getvalue()


def read_back(record):
    """A row from the words of a CSV file."""
    kinds = {"Int64": int, "object": int, "float64": float, "str": str}
    return {name: kinds[COLUMNS[name]](word) if word else None for name, word in record.items()}


def plain(rows):
    """Without the column `accuracy` where no row has one."""
    mappings = [asdict(row) | {"state": str(row.state)} for row in rows]
    if all(row.accuracy is None for row in rows):
        return [{name: value for name, value in each.items() if name != "accuracy"} for each in mappings]
    return mappings


@pytest.mark.parametrize(("format", "delimiter"), [("tsv", "\t"), ("csv", ",")])
@settings(deadline=None, max_examples=40)
@given(rows=st.lists(rows_of, max_size=4))
def test_tsv_and_csv_read_back_as_the_same_numbers(format, delimiter, rows):
    records = csv.DictReader(io.StringIO(rendered(rows, format)), delimiter=delimiter)

    assert [read_back(record) for record in records] == plain(rows)


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(rows_of, max_size=4))
def test_json_reads_back_as_the_same_numbers(rows):
    assert json.loads(rendered(rows, "json")) == plain(rows)


def test_the_columns_of_every_format_are_the_fields_of_a_row():
    names = [field.name for field in fields(LeaderboardRow)]

    assert list(COLUMNS) == names
    assert rendered([], "tsv") == "\t".join(names[:-1]) + "\n"


@pytest.mark.parametrize("format", ["table", "tsv", "csv", "json"])
def test_the_share_of_right_answers_is_shown_where_a_trial_has_one(trial_of, format):
    text, task = (
        rendered(leaderboard([trial_of(0, newest_accuracy=None), trial_of(1, newest_accuracy=known)]), format)
        for known in (None, 0.99609375)
    )

    assert "accuracy" not in text
    assert "accuracy" in task
    assert ("99.6%" if format == "table" else "0.99609375") in task


def test_an_engine_that_is_not_known_is_empty_in_tsv_and_null_in_json(trial_of):
    rows = leaderboard([trial_of(0, engine="graph"), trial_of(1, engine="")])

    assert [line.split("\t")[-1] for line in rendered(rows, "tsv").splitlines()] == ["engine", "graph", ""]
    assert [row["engine"] for row in json.loads(rendered(rows, "json"))] == ["graph", None]


def test_a_diverged_loss_is_null_in_json(trial_of):
    rows = leaderboard([trial_of(0, state=TrialState.DIVERGED, val_loss=float("nan"))])

    assert json.loads(rendered(rows, "json"))[0]["val_loss"] is None


@pytest.mark.parametrize("format", ["table", "tsv"])
def test_a_piped_line_is_as_long_as_it_must_be(trial_of, format):
    lines = rendered(leaderboard([trial_of(0, layout=LONG_LAYOUT)]), format).splitlines()

    assert any(LONG_LAYOUT in line and "completed" in line for line in lines)


def test_a_table_has_units_and_the_depth_before_and_after_growth(trial_of):
    trial = trial_of(
        3, depth_end=6, n_params=1_234_567, val_loss=1.46968, flops=4_500_000_000_000, tokens=12_345_678, elapsed_s=80.0
    )

    cells = rendered(leaderboard([trial]), "table").splitlines()[-1]

    for cell in ("2 → 6", "1.23M", "1.4697", "4.50 TFLOPs", "12.3M", "1 min 20 s", "completed"):
        assert cell in cells


def test_a_narrow_terminal_folds_layouts_and_names_the_columns_that_it_leaves_out(trial_of, terminal):
    stream = terminal(80)

    render(leaderboard([trial_of(0, layout=LONG_LAYOUT)]), "table", stream)

    header, _, *table, note, _ = stream.lines
    column = slice(header.index("layout"), header.index("depth"))
    assert max(map(len, stream.lines)) <= 80
    assert "".join(line[column] for line in table).replace(" ", "") == LONG_LAYOUT.replace(" ", "")
    assert note.startswith("no room for best, tokens, time")


def test_a_wide_terminal_shows_every_column(trial_of, terminal):
    stream = terminal(200)

    render(leaderboard([trial_of(0)]), "table", stream)

    assert "no room" not in stream.getvalue()


def test_markup_in_a_layout_is_not_interpreted(trial_of, terminal):
    stream = terminal(200)

    render(leaderboard([trial_of(0, layout="d=8 [red]attn[/red] :boom: mlp")]), "table", stream, title="a [b]study[/b]")

    assert "d=8 [red]attn[/red] :boom: mlp" in stream.getvalue()
    assert "a [b]study[/b]" in stream.getvalue()


def test_the_best_trial_is_highlighted_on_a_terminal_and_nothing_is_in_a_pipe(trial_of, terminal, monkeypatch):
    rows = leaderboard([trial_of(0, layout="d=8 worse", val_loss=2.0), trial_of(1, layout="d=8 best", val_loss=1.0)])
    stream = terminal(200)
    monkeypatch.delenv("NO_COLOR")
    render(rows, "table", stream)

    styled = [line for line in stream.getvalue().splitlines() if "\x1b[1;32m" in line]

    assert len(styled) == 1
    assert "d=8 best" in styled[0]
    assert "\x1b" not in rendered(rows, "table")


def test_the_title_counts_the_trials_and_names_the_objective():
    counts = dict.fromkeys(TrialState, 0) | {TrialState.COMPLETED: 4, TrialState.RUNNING: 1}

    title = title_of("nightly", counts, 10, "bits_per_byte")

    assert title == "nightly: 4 of 10 trials ended (1 running, 4 completed), by bits_per_byte, lower is better"
    assert rendered([], "table", title=title).splitlines() == [title, "no trials yet"]


def test_an_unknown_format_is_an_error_that_shows_the_known_ones():
    with pytest.raises(UnknownName, match="unknown format 'xml'; known: csv, json, table, tsv"):
        rendered([], "xml")
