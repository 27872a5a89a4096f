"""Tables of trainings: what a study reads in one, what it refuses, and which training stands for a trial."""

import lzma
from dataclasses import asdict, replace

import pytest

from growlab.delimited import delimited
from growlab.errors import UsageError
from growlab.kinds import KINDS, complete
from growlab.layout import parse
from growlab.records import RungReading, TrialState
from growlab.search import propose
from growlab.simulate.course import course_of
from growlab.simulate.source import trainings_of
from growlab.simulate.table import Table, continued
from growlab.simulate.table_file import read_table
from growlab.trainings import columns_and_rows, interpolated

ATTN, CONV = (str(complete(parse(f"d=16 {text} mlp"), KINDS)) for text in ("attn", "conv"))


@pytest.fixture
def write(tmp_path):
    """Writes a table of these lines, of which the cells are parted by blanks."""

    def write(*lines, name="table.tsv"):
        path = tmp_path / name
        path.write_text("".join("\t".join(line.split("|")) + "\n" for line in lines))
        return path

    return write


@pytest.fixture
def spec_of(make_study):
    """The spec of a trial of the study with this layout."""
    proposal = propose(make_study(), [], 0, KINDS, lambda layout: 1)
    return lambda layout, seed=1: replace(proposal.spec, layout=layout, seed=seed)


# ---- reading -------------------------------------------------------------------------------------------------------


def test_a_table_may_be_short_of_all_but_layout_flops_loss_and_scalars(write, make_study):
    path = write("number|layout|lr|flops|loss_100|loss_400|note", "0|d=16 attn mlp|0.002|1e3|2.5|2.0|old")

    table = read_table(path, make_study())

    [training] = table.trainings
    assert (training.layout, dict(training.params)) == (ATTN, {"train.lr": 0.002})
    assert (training.state, training.flops, training.budget_flops) == (TrialState.COMPLETED, 1000, 1000)
    assert training.losses == {"val_loss": 2.0, "best_val_loss": 2.0}
    assert training.curve == {0.25: 2.5, 1.0: 2.0}
    assert table.notes == ["columns that are not read: number, note"]


def test_what_export_writes_is_read_back_to_the_last_digit(make_study, make_training, tmp_path):
    reading = RungReading(
        rung=0, step=3, mark=100, flops=103, val_loss=1 / 3, bits_per_byte=0.1 + 0.2, slope=None, extra_flops=2**70
    )
    whole = make_training(
        layout=ATTN,
        params={"train.lr": 0.1 + 0.2 - 0.295},
        losses={"val_loss": 1 / 3, "best_val_loss": 0.3, "bits_per_byte": 2 / 3},
        curve={0.25: 1 / 7, 1.0: 1 / 3},
        layout_end="d=16 (attn mlp)x2",
        readings=(reading,),
        seed=2**30,
        elapsed_s=1 / 9,
        peak_memory=2.0**40,
    )
    failed = make_training(0, None, layout=CONV, budget_flops=900)
    path = tmp_path / "table.tsv.xz"
    path.write_bytes(lzma.compress(delimited(*columns_and_rows([whole, failed], ["train.lr"]), "\t").encode()))

    table = read_table(path, make_study())

    assert [asdict(training) for training in table.trainings] == [asdict(whole), asdict(failed)]
    assert table.notes == []


def test_what_the_study_fixes_or_does_not_search_is_left_out(write, make_study):
    path = write(
        "layout|train.lr|dropout|flops|val_loss",
        "d=16 attn mlp|0.002|0.0|9|2",
        "d=16 attn mlp|0.002|0.1|9|2",
        "d=16 attn mlp|0.2|0.0|9|2",
    )

    table = read_table(path, make_study())

    assert len(table.trainings) == 1
    assert table.notes == [
        "left out: 1 of 3 trainings, with a train.dropout that the study does not have",
        "left out: 1 of 3 trainings, with a train.lr that the study does not have",
    ]


HEAD = "layout|train.lr|flops|val_loss"
ROW = "d=16 attn mlp|0.002|9|2"
READ_NOWHERE = '{"rung": 0, "step": 1, "mark": 0, "flops": 0, "val_loss": 2.0, "bits_per_byte": null, "slope": null}'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEAD], "has no line below that of the names"),
        (
            ["layout|train.lr|val_loss", "d=16 attn|1e-3|2"],
            r"needs the columns layout and flops; it lacks flops and has",
        ),
        (["layout|train.lr|flops", "d=16 attn|1e-3|9"], "needs the column val_loss, which the study is ranked by"),
        (
            ["layout|flops|val_loss", "d=16 attn|9|2"],
            r"has no column for train.lr, which study 'small' searches.*--set",
        ),
        ([f"{HEAD}|train.lrr", f"{ROW}|1"], r"column 'train.lrr' is no scalar of a study. Did you mean 'train.lr'\?"),
        ([f"{HEAD}|train.lr", f"{ROW}|1"], "names a column twice"),
        ([f"{HEAD}|loss@2", f"{ROW}|1"], "column 'loss@2' must say a share of the budget, such as loss@0.25"),
        ([HEAD, f"{ROW}|1"], "line 2 has another number of cells"),
        ([HEAD, ROW.replace("attn", "atn")], "line 2: unknown block kind 'atn'"),
        ([HEAD, ROW.replace("0.002", "fast")], "line 2: train.lr must be a number, got 'fast'"),
        ([HEAD, ROW.replace("|9|", "||")], "line 2: flops must be a number greater than 0, got ''"),
        ([HEAD, ROW.removesuffix("2") + "low"], "line 2: val_loss must be a number, got 'low'"),
        ([HEAD, ROW.removesuffix("2")], "line 2: came to its end and has no val_loss"),
        (
            [f"{HEAD}|state", f"{ROW}|done"],
            "line 2: state must be completed, diverged, stopped, leak, failed, paused or empty, got 'done'",
        ),
        ([f"{HEAD}|readings", f"{ROW}|no"], "line 2: readings must be what growlab study export-table writes"),
        (
            [f"{HEAD}|readings", f'{ROW}|[{{"rung": 0}}]'],
            "line 2: readings must be .*readings.0.step, .* are missing",
        ),
        (
            [f"{HEAD}|readings", f"{ROW}|[{READ_NOWHERE}]"],
            "line 2: readings must be .*readings.flops must be greater",
        ),
        ([f"{HEAD}|budget_flops", f"{ROW}|0"], "line 2: budget_flops must be a number greater than 0, got '0'"),
        ([f"{HEAD}|elapsed_s", f"{ROW}|-1"], r"line 2: elapsed_s must be between 0 and 1e\+12, got '-1'"),
        ([f"{HEAD}|seed", f"{ROW}|{'9' * 400}"], "line 2: seed must be a number"),
        ([HEAD, ROW.replace("0.002", "9" * 400)], "line 2: train.lr must be a number"),
        (
            [HEAD, ROW.replace("0.002", "2.0")],
            "none of 1 trainings is one that study 'small' could have: 1 with a train.lr",
        ),
        ([f"{HEAD}|state", f"{ROW}|diverged"], "none of 1 trainings of the table came to its end"),
        (
            [HEAD, ROW.replace("d=16", "d=32")],
            "none of the table's 1 layouts is one that study 'small' may draw, as d=32",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_words(write, make_study, lines, message):
    study = make_study()

    with pytest.raises(UsageError, match=message):
        Table(study, read_table(write(*lines), study).trainings)


def test_a_file_that_is_none_is_refused(tmp_path, make_study):
    (tmp_path / "bad.tsv.xz").write_bytes(b"no archive")
    (tmp_path / "bad.tsv").write_bytes(b"\xff\xfe")

    for name, message in (("nosuch.tsv", "no file"), ("bad.tsv.xz", "cannot read"), ("bad.tsv", "is no UTF-8 text")):
        with pytest.raises(UsageError, match=message):
            read_table(tmp_path / name, make_study())


# ---- which training stands for a trial -----------------------------------------------------------------------------


def test_a_trial_has_its_own_training_else_that_which_its_seed_chooses_else_the_nearest(
    make_study, make_training, spec_of
):
    lr = {"train.lr": 2e-3}
    own = [make_training(layout=ATTN, val_loss=2.0 + seed, seed=seed, params=lr) for seed in range(3)]
    near = make_training(layout=CONV, params={"train.lr": 4e-3}, val_loss=1.0)
    table = Table(make_study(), [*own, near])

    assert [table.find(spec_of(ATTN, seed), lr).training for seed in range(3)] == own
    chosen = [table.find(spec_of(ATTN, 100 + at), lr).training for at in range(20)]
    assert chosen == [table.find(spec_of(ATTN, 100 + at), lr).training for at in range(20)]
    assert {training.seed for training in chosen} == {0, 1, 2}
    found = table.find(spec_of(CONV), {"train.lr": 3e-3})
    assert (found.training, 0 < found.distance < 0.1) == (near, True)


@pytest.mark.parametrize("state", [TrialState.PAUSED, TrialState.STOPPED])
def test_a_training_that_was_paused_or_stopped_goes_on_as_the_nearest_that_did(
    make_study, make_training, spec_of, state
):
    paused = make_training(
        300,
        state=state,
        layout=ATTN,
        budget_flops=900,
        losses={},
        curve={1 / 9: 3.5, 1 / 3: 3.0},
        elapsed_s=10.0,
    )
    like = make_training(layout=CONV, curve={1 / 9: 3.0, 1 / 3: 2.5, 2 / 3: 2.2, 1.0: 2.0}, val_loss=2.0)
    table = Table(make_study(), [paused, like])

    training = table.find(spec_of(ATTN), paused.params).training

    assert training == continued(paused, like)
    assert (training.state, training.flops, training.elapsed_s) == (TrialState.COMPLETED, 900, pytest.approx(30))
    assert training.losses == {"val_loss": 2.5}
    assert training.curve == pytest.approx({1 / 9: 3.5, 1 / 3: 3.0, 2 / 3: 2.7, 1.0: 2.5})


def test_a_training_goes_on_as_one_that_came_to_a_loss_of_nothing(make_training):
    paused = make_training(300, state=TrialState.PAUSED, budget_flops=900, losses={}, curve={1 / 3: 0.5})
    like = make_training(val_loss=0.0, curve={1 / 3: 0.5, 1.0: 0.0})

    assert continued(paused, like).losses == {"val_loss": 0.0}


# ---- courses -------------------------------------------------------------------------------------------------------


def test_a_loss_between_two_shares_is_on_a_straight_line_over_their_logarithms():
    curve = {0.25: 4.0, 1.0: 2.0}

    assert [interpolated(curve, share) for share in (0.2, 0.25, 0.5, 1.0, 1.1)] == [
        None,
        4.0,
        pytest.approx(3),
        2.0,
        None,
    ]


def test_a_trial_is_read_as_it_was_read_there_else_as_its_curve_says(make_study, make_training):
    rungs = make_study(rungs={"first": 1 / 9}).rungs
    own = RungReading(rung=5, step=7, mark=300, flops=310, val_loss=2.4, bits_per_byte=None, slope=-0.1)
    training = make_training(readings=(own,), losses={"val_loss": 2.0, "bits_per_byte": 1.0})

    first, second = course_of(training, rungs, 1.0).readings

    assert second == replace(own, rung=1)
    assert (first.rung, first.mark, first.flops, first.slope) == (0, 100, 100, None)
    assert (first.val_loss, first.bits_per_byte) == (pytest.approx(2 + 8 / 9), pytest.approx((2 + 8 / 9) / 2))


def test_a_table_that_says_nothing_of_a_rung_or_of_time_is_refused(make_study, make_training):
    rungs = make_study(rungs={"first": 0.1, "factor": 3}).rungs

    with pytest.raises(
        UsageError, match=r"nothing of val_loss at the rung at 0.1 .*other rungs, such as rungs.first=0.1111"
    ):
        course_of(make_training(), rungs, 1.0)
    with pytest.raises(UsageError, match=r"how long trainings took \(elapsed_s\).*--flops-per-s 1e12"):
        course_of(make_training(), None, 0.0)


# ---- a function ----------------------------------------------------------------------------------------------------


def test_a_function_is_asked_for_each_trial(run, make_study, tmp_path):
    file = tmp_path / "my.py"
    file.write_text(
        "def objective(layout, params, seed):\n"
        "    loss = 2 + 100 * params['train.lr'] + layout.count('conv')\n"
        "    return {'val_loss': loss, 'flops': 900, 'loss@0.1': loss + 1}\n"
    )
    study = make_study(4)

    found = run(study, trainings_of(f"{file}:objective", study, print))

    assert [trial.value for trial in found.trials] == [
        pytest.approx(2 + 100 * trial.params["train.lr"] + trial.layout.count("conv")) for trial in found.trials
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def other(): ...", r"my.py defines no function objective"),
        ("1 / 0", r"my.py cannot be run: ZeroDivisionError"),
        ("def objective(layout, params, seed): return 2.0", r"my.py:objective: must return a mapping .* got 2.0"),
        ("def objective(layout, params, seed): return {'val_loss': 2}", r"my.py:objective: needs the columns .* flops"),
        ("def objective(layout): return {}", r"my.py:objective: failed for d=16 .*: TypeError"),
        (
            "def objective(layout, params, seed): return {'val_loss': 2, 'flops': 9, 'state': 'paused'}",
            r"my.py:objective: must say how a training ended, got state paused",
        ),
    ],
)
def test_a_function_that_does_not_answer_is_refused_in_words(run, make_study, tmp_path, text, message):
    (tmp_path / "my.py").write_text(text)
    study = make_study(1)

    with pytest.raises(UsageError, match=message):
        run(study, trainings_of(f"{tmp_path}/my.py:objective", study, print))


def test_a_function_need_not_say_what_a_training_that_failed_would_have_come_to(run, make_study, tmp_path):
    (tmp_path / "my.py").write_text("def objective(*trial): return {'flops': 9, 'state': 'diverged'}\n")
    study = make_study(1)

    found = run(study, trainings_of(f"{tmp_path}/my.py:objective", study, print))

    assert found.counts[TrialState.DIVERGED] == 1


def test_a_study_that_proposes_nothing_cannot_be_simulated(run, make_study, make_training):
    with pytest.raises(UsageError, match="sampler given proposes nothing; choose another one: --set sampler=model"):
        run(make_study(sampler="given"), [make_training()])
