"""One trial in full, as a page and as JSON."""

import io
import json
import math
import re
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from growlab.errors import NotFound, StorageError
from growlab.records import (
    AS_IT_WAS,
    DROPPED_STEPS,
    GROWN,
    Decision,
    GrowthEvent,
    Metric,
    Prediction,
    TrajectoryPoint,
    TrialState,
)
from growlab.report.leaderboard import read_leaderboard
from growlab.report.trial_facts import trial_as_mapping
from growlab.report.trial_page import trial_page
from growlab.specs import StageSpec

EVENT = GrowthEvent(
    step=50,
    position=1,
    unit="attn[n_heads=2] mlp",
    operator="aiether",
    reason="stagnation",
    tau=3.7417,
    kappa=3.6056,
    val_loss_before=2.6001,
    val_loss_after=2.6002,
    depth_before=2,
    depth_after=4,
    n_params_after=5000,
)
MUTATION = Decision(
    number=0, seed=1, origin="mutation", parent=3, mutation="insert conv at 2", finished=(1, 2, 3), running=(4,)
)


def point_of(step, tau, tensor="", unit=0):
    return TrajectoryPoint(
        step=step,
        unit=unit,
        tensor=tensor,
        n_increments=3,
        tau=tau,
        kappa=0.5,
        diffusion_exponent=0.75,
        drift_to_noise=None,
        drift_z=None,
        path=1.0,
        displacement=0.5,
    )


@pytest.fixture
def page(store, study_row):
    def read(number, stream=None):
        stream = stream or io.StringIO()
        trial_page(store, study_row, number, stream)
        return stream.getvalue()

    return read


def test_the_page_tells_what_the_trial_was(page, run_trial, result_of):
    run_trial(0, result=result_of(), decision=MUTATION)

    text = page(0)

    assert text.startswith("trial 0 of nightly: completed\n")
    for words in (
        "d=8 attn[n_heads=2] mlp",
        "d=8 (attn[n_heads=2] mlp)x2",
        "mutation of trial 3: insert conv at 2",
        "growth.patience 4, train.lr 0.003122",
        "100 steps",
        "never: growth.warmup_steps 400 leaves none of the budget's 100 steps",
    ):
        assert words in text


@pytest.mark.parametrize("origin", ["seed", "random"])
def test_an_origin_without_a_parent_is_one_word(page, run_trial, result_of, origin):
    run_trial(
        0,
        result=result_of(),
        decision=Decision(number=0, seed=1, origin=origin, parent=None, mutation="", finished=(), running=()),
    )

    assert ["origin", origin] in [line.split() for line in page(0).splitlines()]


STAGES = (
    StageSpec(until=0.15, path="/texts/words.txt", sha256="ab", plasticity=0.1),
    StageSpec(until=0.4, path="/texts/stories.txt", sha256="cd", plasticity=0.5),
    StageSpec(until=1.0, path="", sha256="", plasticity=0.99),
)


def test_a_curriculum_is_told_with_the_steps_at_which_it_moved_on(page, run_trial):
    switch = [Metric(step=15, split="train", name="stage", value=1)]

    run_trial(0, facts=switch, curriculum=STAGES)

    words = re.sub(r"\s+", " ", page(0))
    assert (
        "curriculum words.txt, α 0.1; from step 15 stories.txt, α 0.5; from 0.4 of the budget its own data, α 0.99"
    ) in words


def test_the_page_tells_what_came_out(page, run_trial, result_of):
    run_trial(0, result=result_of())

    text = page(0)

    assert "1.4697 nats per token (best 1.4603)" in text
    assert "2 → 4 blocks" in text
    assert "100 steps, 12.3M tokens, 4.50 TFLOPs, 1 min 20 s" in text


def test_the_page_draws_the_losses_and_marks_growth(page, run_trial, result_of, losses):
    run_trial(0, result=result_of(), facts=[*losses, EVENT])

    assert "o validation   ⠒ training   ▲ growth" in page(0)


def test_growth_events_are_a_table(page, run_trial, result_of):
    run_trial(0, result=result_of(), facts=[EVENT])

    cells = ("50", "1", "attn[n_heads=2] mlp", "aiether", "3.74", "3.61", "2.6001 → 2.6002", "2 → 4", "–", "–")
    assert re.search(r"^ +" + r" {2,}".join(map(re.escape, cells)) + r" *$", page(0), re.MULTILINE)


def probe_of(step, as_it_was, grown, dropped):
    values = (("val", AS_IT_WAS, as_it_was), ("val", GROWN, grown), ("train", DROPPED_STEPS, dropped))
    return [Metric(step=step, split=split, name=name, value=value) for split, name, value in values]


def test_probes_are_a_table_of_what_both_branches_came_to(page, run_trial, result_of):
    facts = [*probe_of(50, 2.5, 2.25, 5), EVENT, *probe_of(70, 2.0, math.inf, 3)]
    run_trial(0, result=result_of(), facts=facts)

    text = page(0)

    assert "probes of a growth (val_loss at the end of each branch)" in text
    for cells in (("50", "2.5000", "2.2500", "grown", "5 steps"), ("70", "2.0000", "∞", "as it was", "3 steps")):
        assert re.search(r"^ +" + r" {2,}".join(map(re.escape, cells)) + r" *$", text, re.MULTILINE)


def pause_of(step, seconds):
    return Metric(step=step, split="train", name="pause_s", value=seconds)


def test_beside_each_growth_stand_its_pause_and_that_of_its_thaw(page, run_trial, result_of, store, study_row):
    later = [replace(EVENT, step=step, position=at) for at, step in ((2, 70), (3, 90))]
    pauses = [pause_of(50, 1.25), pause_of(60, 0.31), pause_of(70, 82.0), pause_of(95, 0.125)]
    run_trial(0, result=result_of(), facts=[EVENT, *later, *pauses])

    [header, *rows] = [line.split()[-4:] for line in page(0).splitlines() if " mlp " in line or " thaw" in line][-4:]
    events = trial_as_mapping(store, study_row, 0)["growth_events"]

    assert header[-2:] == ["pause", "thaw"]
    assert [" ".join(row) for row in rows] == ["1.2 s 310 ms", "min 22 s –", "4 – 125 ms"]
    assert [event["pause_s"] for event in events] == [1.25, 82.0, None]
    assert [event["thaw_pause_s"] for event in events] == [0.31, None, 0.125]


def test_the_page_tells_the_engine_where_it_is_known(page, run_trial, result_of, store, study_row):
    run_trial(0, result=result_of(engine="graph"))
    run_trial(1, result=result_of(engine=""))

    assert ["engine", "graph"] in [line.split() for line in page(0).splitlines()]
    assert "engine" not in page(1)
    assert [trial_as_mapping(store, study_row, number)["engine"] for number in (0, 1)] == ["graph", None]


def test_tau_and_kappa_stand_beside_their_critical_values(page, run_trial, result_of):
    points = [point_of(10, 1.0), point_of(20, 2.0), point_of(30, math.inf), point_of(40, None)]
    run_trial(0, result=result_of(), facts=[*points, point_of(10, 9.0, tensor="mlp.up")])

    text = page(0)

    assert "steps 10 to 40" in text
    [tau] = [line for line in text.splitlines() if line.startswith("  τ ")]
    [kappa] = [line for line in text.splitlines() if line.startswith("  κ ")]
    [drift] = [line for line in text.splitlines() if line.startswith("  r̂²")]
    assert "▁██ " in tau
    assert "1.00 to ∞" in tau
    assert "critical 2" in tau
    assert "0.50 to 0.50" in kappa
    assert "critical 0.5" in kappa
    assert "–" in drift


def test_the_page_of_a_synthetic_task_has_the_share_of_right_answers(page, run_trial, result_of):
    def known(step, share):
        return Metric(step=step, split="val", name="accuracy", value=share)

    run_trial(0, result=result_of(), facts=[known(50, 0.25), known(100, 0.99609375)])
    run_trial(1, result=result_of())
    run_trial(2, facts=[Metric(step=50, split="val", name="loss", value=1.4), known(50, 0.25)])

    assert re.search(r"accuracy +99\.6% of the answers are right *\n", page(0))
    assert "accuracy" not in page(1)
    assert re.search(r"val_loss so far +1\.4000 .*\n +accuracy +25\.0% of the answers are right *\n", page(2))


def test_every_attempt_is_listed_with_its_end_and_its_note(page, run_trial, result_of):
    run_trial(0, result=result_of(), crashes=["[bold]out of luck[/bold]"])

    lines = page(0).splitlines()

    [crashed] = [line for line in lines if "crashed" in line]
    assert "gpu0" in crashed
    assert "cuda:0" in crashed
    assert "[bold]out of luck[/bold]" in crashed
    assert any("finished" in line for line in lines)


def test_a_sample_is_shown_as_it_is(page, run_trial, result_of, terminal):
    sample = "ROMEO:\n  [bold red]no[/] [link=x] :boom: attn[n_heads=2] [/unopened]" + " and so on" * 30
    run_trial(0, result=result_of(sample=sample))

    assert f"\n{sample}\n" in page(0)
    assert f"\n{sample}\n" in page(0, terminal(80))


def test_a_sample_cannot_command_the_terminal(page, run_trial, result_of):
    run_trial(0, result=result_of(sample="a\x1b[2Jb\x07\x9bc\r\n\td"))

    assert "a␛[2Jb␇\N{REPLACEMENT CHARACTER}c␍\n" in page(0)


def test_a_diverged_trial_says_why(page, run_trial, result_of):
    words = "the loss was no longer a finite number at step 40"
    facts = [
        Metric(step=40, split="train", name="tokens", value=1600),
        Metric(step=40, split="val", name="loss", value=math.nan),
    ]
    run_trial(0, result=result_of(state=TrialState.DIVERGED, val_loss=None, error=words), facts=facts)

    text = page(0)

    assert "trial 0 of nightly: diverged" in text
    assert words in text
    assert "nan" not in text


def test_a_trial_that_crashed_too_often_has_a_page_without_a_result(page, run_trial):
    run_trial(0, crashes=["first", "second", "third"])

    text = page(0)

    assert "trial 0 of nightly: failed" in text
    assert "crashed 3 times without a new checkpoint; last: third" in text
    assert "result" not in text
    assert sum("crashed  " in line for line in text.splitlines()) == 3


def test_a_running_trial_has_a_page_too(page, run_trial, losses):
    run_trial(0, facts=losses)

    text = page(0)

    assert "trial 0 of nightly: running, step 100" in text
    assert "2.1000 nats per token at step 100" in text


def test_a_trial_that_just_began_says_that_nothing_is_on_record(page, run_trial):
    run_trial(0)

    assert "on record from its first checkpoint on" in page(0)


def training_at(step, loss):
    values = {"loss": loss, "lr": 0.0031, "grad_norm": 1.5, "tokens_per_s": 12_300, "tokens": 40 * step}
    return [Metric(step=step, split="train", name=name, value=value) for name, value in values.items()]


def test_before_its_first_evaluation_a_trial_has_a_curve_and_its_newest_numbers(page, run_trial):
    run_trial(0, facts=[*training_at(100, 3.0), *training_at(200, 2.5), *training_at(300, 2.25)])

    text = page(0)

    words = re.sub(r"\s+", " ", text)
    assert "none yet" not in text
    assert "val_loss" not in text
    assert "⠒ training" in text
    for expected in (
        "trial 0 of nightly: running, step 300",
        "train_loss 2.2500 nats per token at step 300",
        "lr 0.0031 at step 300",
        "gradient norm 1.500 before clipping at step 300",
        "speed 12.3k tokens/s at step 300",
    ):
        assert expected in words


def test_each_of_the_newest_numbers_has_its_own_step(page, run_trial):
    evaluation = Metric(step=200, split="val", name="loss", value=2.75)
    run_trial(0, facts=[*training_at(200, 2.5), evaluation, *training_at(300, 2.25)])

    words = re.sub(r"\s+", " ", page(0))

    assert "val_loss so far 2.7500 nats per token at step 200 train_loss 2.2500 nats per token at step 300" in words


MEMORISED = [
    Metric(step=step, split=split, name="loss", value=value)
    for step, val, train in ((25, 3.0, 3.0), (50, 2.0, 2.0), (75, 3.5, 1.0), (100, 4.0, 0.5), (125, 5.0, 0.25))
    for split, value in (("val", val), ("train", train))
]


def test_the_page_says_since_when_a_trial_overfits(page, run_trial, result_of, store, study_row):
    run_trial(0, result=result_of(val_loss=5.0, best_val_loss=2.0), facts=MEMORISED)
    run_trial(1, facts=MEMORISED)
    run_trial(2, result=result_of(), facts=MEMORISED[:4])

    assert "5.0000 nats per token (best 2.0000), overfits since step 50" in page(0)
    assert "5.0000 nats per token at step 125, overfits since step 50" in page(1)
    assert "overfits" not in page(2)
    mappings = [trial_as_mapping(store, study_row, number) for number in range(3)]
    assert [mapping["overfits_since"] for mapping in mappings] == [50, 50, None]
    rows = {row.trial: row.overfits_since for row in read_leaderboard(store, study_row.id)}
    assert rows == {0: 50, 1: 50, 2: None}


def test_no_line_is_filled_up_with_blanks_to_the_longest_value(page, run_trial, result_of, losses, terminal):
    unit = "mix(attn[heads_per_kv=2,n_heads=8],ssm) mlp[expand=2.5] " * 3
    long, usual = replace(EVENT, unit=unit.strip()), replace(EVENT, step=60, position=2)
    run_trial(0, result=result_of(), facts=[*losses, long, usual, point_of(10, 1.0)], layout="d=8 " + "conv " * 30)

    lines = page(0, stream := terminal(200)) and stream.lines

    assert [line for line in lines if line != line.rstrip()] == []
    [header] = [line for line in lines if "operator" in line]
    assert header.index("operator") - header.index("unit") <= 42


def test_the_page_fits_a_terminal_of_eighty_columns(page, run_trial, result_of, losses, terminal):
    run_trial(0, result=result_of(), facts=[*losses, EVENT, point_of(10, 1.0)], crashes=["a long story " * 20])

    stream = terminal(80)
    page(0, stream)

    assert max(map(len, stream.lines)) <= 80
    assert not any("…" in line for line in stream.lines)


def test_a_trial_that_is_not_there_is_an_error(page, run_trial):
    run_trial(0)

    with pytest.raises(NotFound, match="no trial 7; the study has trials 0 to 0"):
        page(7)


def test_as_a_mapping_it_is_plain_json_and_nothing_is_missing(store, study_row, run_trial, result_of, losses):
    run_trial(
        0,
        result=result_of(sample="ROMEO:"),
        facts=[*losses, EVENT, point_of(10, math.inf), point_of(10, 1.5, tensor="mlp.up")],
        decision=MUTATION,
        crashes=["once"],
    )

    whole = trial_as_mapping(store, study_row, 0)

    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    assert (whole["study"], whole["trial"], whole["state"], whole["sample"]) == ("nightly", 0, "completed", "ROMEO:")
    assert whole["val_loss"] == 1.4697
    assert whole["trial_spec"]["train"]["batch_size"] == 32
    assert whole["origin"] == "mutation of trial 3: insert conv at 2"
    assert whole["decision"]["finished"] == [1, 2, 3]
    assert len(whole["metrics"]) == 12
    assert [(point["tensor"], point["tau"]) for point in whole["trajectory"]] == [("", None), ("mlp.up", 1.5)]
    assert whole["growth_events"][0]["val_loss_after"] == 2.6002
    assert [attempt["end_reason"] for attempt in whole["attempts"]] == ["crashed", "finished"]


@pytest.mark.parametrize(
    ("table", "column"), [("gl_trials", "spec"), ("gl_trials", "params"), ("gl_decisions", "running")]
)
def test_a_damaged_row_is_named_and_every_other_trial_is_shown(
    store, study_row, run_trial, result_of, tmp_path, table, column
):
    for number in (0, 1):
        run_trial(number, result=result_of())
    with closing(sqlite3.connect(tmp_path / "growlab.db")) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = '3' WHERE rowid = 2")

    message = rf"^trial 1 has a damaged row: {table}\.{column}: "
    with pytest.raises(StorageError, match=message):
        trial_page(store, study_row, 1, io.StringIO())
    with pytest.raises(StorageError, match=message):
        trial_as_mapping(store, study_row, 1)

    assert [row.trial for row in read_leaderboard(store, study_row.id)] == [0, 1]
    assert trial_as_mapping(store, study_row, 0)["trial"] == 0


def test_a_page_tells_the_newest_units_path_and_then_that_of_every_unit_since_it_entered(page, run_trial, result_of):
    facts = [point_of(40, 9.0), point_of(40, 9.0, "mlp.up"), EVENT]
    for step, (lower, newest) in {60: (2.0, 3.0), 70: (2.5, 3.5)}.items():
        facts += [point_of(step, newest, unit=1), point_of(step, newest, "mlp.up", unit=1), point_of(step, lower)]
    run_trial(0, facts=facts, result=result_of())

    text = page(0)

    newest = text[text.index("path of the newest unit's weights") :]
    assert "3.00 to 9.00" in newest
    of_all = newest[newest.index("paths of all units' weights") :].splitlines()
    assert of_all[1].split() == ["unit", "τ", "κ", "H", "r̂²", "z"]
    assert of_all[2].split()[:6] == ["0", "2.50", "▁█", "0.50", "▄▄", "0.75"]
    assert of_all[3].split()[:6] == ["1", "3.50", "▁█", "0.50", "▄▄", "0.75"]
    assert of_all[4].split() == ["1.73", "random", "walk", "1.41", "0.50"]  # of three increments
    assert of_all[5].split() == ["1.00", "straight", "0.00", "1.00", "steps", "60–70"]


def test_growths_are_marked_below_the_courses_and_on_the_curve_between_two_rows(page, run_trial, result_of):
    flops = [Metric(step=step, split="train", name="flops", value=step * 1e9) for step in (20, 40, 60, 80)]
    lr = [Metric(step=step, split="train", name="lr", value=step / 1000) for step in (20, 40, 60, 80)]
    val = [Metric(step=step, split="val", name="loss", value=3 - step / 100) for step in (20, 40, 60, 80)]
    run_trial(0, facts=[*flops, *lr, *val, EVENT], result=result_of())  # grew at step 50

    lines = page(0).splitlines()

    assert any(line.endswith("(nats per token over FLOPs)") for line in lines)
    course = next(at for at, line in enumerate(lines) if line.split()[:1] == ["lr"])
    assert lines[course].split() == ["lr", "▁▃▆█", "0.02", "0.08", "0.02", "to", "0.08"]
    assert lines[course + 1].index("▲") == lines[course].index("▆")
    assert sum("▲" in line for line in lines) == 3  # the curve, its legend, the course


def test_the_load_of_experts_is_told_by_block(page, run_trial, result_of):
    facts = [
        Metric(step=step, split="val", name=f"block_{block}.{name}", value=value + step / 1000)
        for block in (1, 3)
        for name, value in (("load_entropy", 0.9), ("largest_load", 0.25))
        for step in (10, 20)
    ]
    run_trial(0, facts=facts, result=result_of())

    lines = [line.split() for line in page(0).splitlines()]

    assert ["1", "0.92", "▁█", "0.27", "▁█"] in lines
    assert ["3", "0.92", "▁█", "0.27", "▁█"] in lines


@pytest.mark.parametrize(("mean", "away"), [(1.4097, "2.0 sd above"), (1.5, "1.0 sd below")])
def test_what_was_expected_stands_beside_what_came(page, run_trial, result_of, mean, away):
    predicted = Prediction(mean=mean, sd=0.03, runs=0.97)
    run_trial(0, decision=replace(MUTATION, origin="model", predicted=predicted), result=result_of())

    text = page(0)

    assert f"val_loss {mean:.4f} ± 0.0300, 97.0% to reach one; came to 1.4697, {away}" in re.sub(r"\s+", " ", text)
    assert "known then the results of 3 trials, 1 more was being trained" in re.sub(r"\s+", " ", text)


def test_a_page_of_a_trial_that_watched_one_unit_says_it_once(page, run_trial, result_of):
    run_trial(0, facts=[point_of(40, 1.5), point_of(40, 1.5, "mlp.up"), point_of(50, 2.5)], result=result_of())

    text = page(0)

    assert "1.50 to 2.50" in text
    assert "all units" not in text
