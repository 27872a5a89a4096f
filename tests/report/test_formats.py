"""What is written can be read back digit for digit; what is drawn is never cut and never interpreted."""

import csv
import io
import json
from dataclasses import asdict, fields
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growlab.errors import UnknownName
from growlab.records import TrialState
from growlab.report.columns import COLUMNS, LeaderboardRow
from growlab.report.formats import render
from growlab.report.leaderboard import Marks, leaderboard
from growlab.report.title import title_of

LONG_LAYOUT = "d=192 " + " ".join(f"conv[kernel={at}] attn[heads_per_kv=2,n_heads=8]" for at in range(2, 10))

OF_SOME = (
    *("accuracy", "overfits_since", "told", "rung", "rung_share", "front", "feasible"),
    *("seed", "growths", "layout_end"),
)
FIELDS = [field for field in fields(LeaderboardRow) if field.name not in ("searched", "metrics")]
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
    overfits_since=st.none() | whole,
    told=st.none() | st.just(True),
    rung=st.none() | whole,
    rung_share=st.none() | st.floats(0, 1),
    searched=st.fixed_dictionaries({"train.lr": numbers}),
    seed=st.none() | whole,
    growths=st.none() | whole,
    layout_end=st.none() | st.just(LONG_LAYOUT),
)


def rendered(rows, format, **more):
    stream = io.StringIO()
    render(rows, format, stream, **more)
    return stream.getvalue()


def read_back(record):
    """A row from the words of a CSV file."""
    types = {field.name: (get_args(field.type) or (field.type,))[0] for field in FIELDS} | {
        "train.lr": float,
        "told": bool,
    }
    return {name: types[name](word) if word else None for name, word in record.items()}


def plain(rows):
    """Without the columns that only some studies have, where no row has a value."""
    mappings = [asdict(row) | {"state": str(row.state)} for row in rows]
    mappings = [each | each.pop("searched") for each in mappings if not each.pop("metrics")]
    lacking = {name for name in OF_SOME if all(each[name] is None for each in mappings)}
    return [{name: value for name, value in each.items() if name not in lacking} for each in mappings]


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
    names = [field.name for field in FIELDS]

    assert {column.name for column in COLUMNS} == set(names)
    assert rendered([], "tsv") == "\t".join(names[: -len(OF_SOME)]) + "\n"


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

    tsv = csv.DictReader(io.StringIO(rendered(rows, "tsv")), delimiter="\t")
    assert [record["engine"] for record in tsv] == ["graph", ""]
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


NEEDED = ["rank", "trial", "layout", "depth", "params", "val_loss", "bits/byte", "compute"]
LARGE = {"depth_start": 12, "depth_end": 16, "n_params": 12_300_000, "flops": 45 * 10**14, "elapsed_s": 1000.0}
NESTED = "d=192 front=patch[size=4] (mix(attn[heads_per_kv=2,n_heads=8],ssm) mlp)x2 act[most=4](attn mlp) conv"


def on_terminal(terminal, width, trials, **more):
    stream = terminal(width)
    render(leaderboard(trials, **more), "table", stream)
    return stream.lines


def test_at_eighty_columns_everything_is_there_by_which_people_decide(trial_of, open_trial_of, terminal):
    trials = [trial_of(7, layout=NESTED, **LARGE), trial_of(8, layout=NESTED, state=TrialState.DIVERGED, **LARGE)]

    header, _, *table, note, _ = on_terminal(terminal, 80, trials)

    assert header.split() == [name for name in NEEDED if name != "bits/byte"]  # with it the layout would be cut
    assert all(cell in table[0] for cell in ("7 ", "12 → 16", "12.3M", "2.0000", "4.50 PFLOPs"))
    assert [line.split()[:2] for line in table if line[:8].strip()] == [["1", "7"], ["diverged", "8"]]
    assert note.startswith("no room for tokens, time, best, state, bits/byte")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_is_longer_than_the_terminal_or_filled_up_with_blanks(trial_of, open_trial_of, terminal, width):
    trials = [trial_of(1, layout=NESTED, **LARGE), open_trial_of(2, layout="d=8 conv"), trial_of(3, layout=LONG_LAYOUT)]

    lines = on_terminal(terminal, width, trials, marks=Marks(overfits_since={3: 45}))

    assert max(map(len, lines)) <= width
    assert [line for line in lines if line.endswith("  ")] == []
    assert all(name in lines[0] for name in ("trial", "layout", "val_loss", "best"))


def test_the_least_goes_first(trial_of, terminal):
    gone = []
    for width in range(130, 30, -5):
        text = " ".join(" ".join(on_terminal(terminal, width, [trial_of(1, layout="d=8 conv", **LARGE)])).split())
        names = text.partition("no room for ")[2].partition(":")[0].split(", ")
        gone += [name for name in names if name and name not in gone]

    assert gone == ["tokens", "time", "best", "state", "bits/byte", "compute", "depth"]


def test_a_layout_is_folded_and_after_four_lines_cut_with_an_ellipsis(trial_of, terminal):
    header, _, *table, note, _ = on_terminal(terminal, 80, [trial_of(0, layout=LONG_LAYOUT)])

    column = slice(header.index("layout"), header.index("depth"))
    shown = "".join(line[column] for line in table).replace(" ", "")
    assert len(table) == 4
    assert shown.endswith("…")
    assert LONG_LAYOUT.replace(" ", "").startswith(shown[:-1])
    assert "whole layouts" in note


def test_one_long_layout_does_not_move_the_numbers_out_of_sight(trial_of, terminal):
    header, *_ = on_terminal(terminal, 200, [trial_of(0, layout=LONG_LAYOUT), trial_of(1, layout="d=8 conv")])
    short, *_ = on_terminal(terminal, 200, [trial_of(1, layout="d=8 conv")])

    assert header.index("depth") - header.index("layout") <= 70
    assert short.index("depth") - short.index("layout") <= 15


@pytest.mark.parametrize("width", [80, 200])
def test_who_overfits_is_marked_and_has_the_best_loss_beside(trial_of, terminal, width):
    trials = [
        trial_of(0, layout="d=8 conv", val_loss=7.8, best_val_loss=4.5),
        trial_of(1, layout="d=8 conv", val_loss=5.0, best_val_loss=4.9),
    ]

    header, _, first, second, *notes = on_terminal(terminal, width, trials, marks=Marks(overfits_since={0: 400}))

    text = " ".join(" ".join(notes).split())
    assert header.split().index("best") == header.split().index("val_loss") + 1
    assert "↑ 7.8000 4.5000" in " ".join(second.split())
    assert "↑" not in first
    assert "↑ trial 0 overfits since step 400: val_loss rises while the training loss falls" in text
    assert "by best_val_loss trial 0 would be first, with 4.5000: use --sort-by best_val_loss" in text


def test_of_another_winner_nothing_is_said_where_there_is_none(trial_of):
    trials = [trial_of(0, val_loss=2.0, best_val_loss=1.9), trial_of(1, val_loss=3.0, best_val_loss=1.8)]

    assert "trial 1 would be first, with 1.8000" in rendered(leaderboard(trials), "table")
    assert "would be first" not in rendered(leaderboard(trials, "best_val_loss"), "table")
    assert "would be first" not in rendered(leaderboard(trials[:1]), "table")


def test_programs_get_the_step_since_which_a_trial_overfits(trial_of):
    rows = leaderboard([trial_of(0), trial_of(1)], marks=Marks(overfits_since={1: 400}))

    assert [row["overfits_since"] for row in json.loads(rendered(rows, "json"))] == [None, 400]
    tsv = csv.DictReader(io.StringIO(rendered(rows, "tsv")), delimiter="\t")
    assert [record["overfits_since"] for record in tsv] == ["", "400"]
    assert "overfits_since" not in rendered(leaderboard([trial_of(0)]), "csv")


@pytest.mark.parametrize("format", ["tsv", "csv", "json"])
def test_programs_get_every_searched_value_with_all_its_digits(trial_of, format):
    rows = leaderboard(
        [
            trial_of(0, val_loss=1.0, params={"train.lr": 0.00312249, "growth.factor": 2, "arm": "a"}),
            trial_of(1, val_loss=2.0, params={"train.lr": 0.00312249, "growth.trigger": "at"}),
        ]
    )

    text = rendered(rows, format)

    if format == "json":
        first, second = json.loads(text)
    else:
        first, second = csv.DictReader(io.StringIO(text), delimiter="\t" if format == "tsv" else ",")
    assert [*first][-3:] == ["train.lr", "growth.factor", "growth.trigger"]
    assert float(first["train.lr"]) == 0.00312249
    assert (int(first["growth.factor"]), second["growth.trigger"]) == (2, "at")
    assert not first["growth.trigger"]
    assert not second["growth.factor"]


def test_a_wide_terminal_shows_the_searched_values_in_which_trials_differ(trial_of, terminal):
    stream = terminal(200)
    params = [{"train.lr": 0.00312249, "train.dropout": 0.1}, {"train.lr": 0.01, "train.dropout": 0.1}]

    render(leaderboard([trial_of(at, params=each) for at, each in enumerate(params)]), "table", stream)

    header, first = (next(line for line in stream.lines if word in line) for word in ("rank", "0.003122"))
    assert header.split()[-1] == "lr"
    assert "dropout" not in stream.getvalue()
    assert first.split()[-1] == "0.003122"


def test_a_narrow_terminal_leaves_searched_values_out_and_says_how_many(trial_of, terminal):
    stream = terminal(80)
    params = [{f"train.value_{name}": at for name in "abcd"} for at in range(2)]

    render(leaderboard([trial_of(at, params=each) for at, each in enumerate(params)]), "table", stream)

    assert "no room for 4 searched values" in " ".join(stream.lines)


def test_two_searched_values_that_end_alike_have_their_full_names_on_a_terminal(trial_of, terminal):
    stream = terminal(300)
    params = [{"growth.operator.a.beta": at, "growth.operator.b.beta": at, "train.depth": at} for at in range(2)]

    render(leaderboard([trial_of(at, params=each) for at, each in enumerate(params)]), "table", stream)

    assert "growth.operator.a.beta  growth.operator.b.beta  train.depth" in stream.lines[0]


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
