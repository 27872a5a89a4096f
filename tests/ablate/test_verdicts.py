"""What an ablation says of models whose truth is known: what is planted is found, and what is not is not."""

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from growlab.ablate.arms import all_arms
from growlab.ablate.cells import Cell, Outcome, cells_of
from growlab.ablate.file import Ablation
from growlab.ablate.table import drawing, notes, print_json, print_table, print_trainings, print_tsv, verdict
from growlab.ablate.verdicts import ArmResult, Result, read_result

Read = Callable[..., Ablation]
Ended = Callable[..., dict[Cell, Outcome]]


@pytest.fixture
def result_of(ended: Ended, loss: Callable[..., float]) -> Callable[..., Result]:
    """The result where each arm is as good as so many times the compute of un-grown training at the best depth, 8."""

    def of(ablation: Ablation, *, noise: float = 0.002, **speed_ups: float) -> Result:
        def truth(cell: Cell, drawn: float) -> float:
            too_deep = abs(int(cell.arm.split()[-1]) - 8) if cell.arm.startswith("ungrown") else 0
            compute = cell.budget * speed_ups.get(cell.arm, 1.0)
            return loss(compute, lr=dict(cell.values).get("train.lr", 4e-3)) + 0.02 * too_deep + drawn

        arms = all_arms(ablation)
        outcomes = ended(ablation, truth, noise=noise)
        return read_result(ablation, arms, cells_of(ablation, arms, outcomes), outcomes)

    return of


def row(result: Result, arm: str) -> ArmResult:
    return next(row for row in result.arms if (row.arm, row.budget) == (arm, 1.0))


def test_a_planted_speed_up_is_found_with_its_size(read: Read, result_of: Callable[..., Result]) -> None:
    result = result_of(read(), grown=1.4, silent=0.8)

    decision = row(result, "grown").decision
    assert decision is not None
    assert decision.verdict.value == "better"
    assert math.exp(decision.gain.value) == pytest.approx(1.4, rel=0.1)
    assert verdict(result, row(result, "silent")) == "worse (exploratory)"
    assert row(result, "grown").gain_text(result.ablation).startswith("1.")
    assert row(result, "ungrown 8").decision is None


def test_a_speed_up_is_found_where_each_depth_has_budgets_of_its_own(
    read: Read, result_of: Callable[..., Result]
) -> None:
    units = "units: {3: [0.5, 1], 4: [0.5, 1, 1.4], 5: [1, 2]}"

    result = result_of(read(("budgets: [0.5, 1, 2]", units)), noise=1e-4, grown=1.3)

    decision = row(result, "grown").decision
    assert decision is not None
    assert math.exp(decision.gain.value) == pytest.approx(1.3, rel=0.02)
    assert [(row.arm, row.budget) for row in result.arms][2:4] == [("ungrown 6", 0.5), ("ungrown 6", 1.0)]
    assert any("(0.5, 1, 1.4, 2 of the budget)" in line for line in notes(result))


def test_an_arm_that_does_nothing_is_neither_better_nor_worse(read: Read, result_of: Callable[..., Result]) -> None:
    result = result_of(read())

    assert verdict(result, row(result, "grown")).startswith(("cannot tell; ", "equal within ± 5 %"))


def test_without_noise_an_arm_that_does_nothing_is_equal(read: Read, result_of: Callable[..., Result]) -> None:
    result = result_of(read(), noise=1e-5)

    assert verdict(result, row(result, "grown")) == "equal within ± 5 %"


def test_beyond_the_envelope_a_speed_up_is_a_bound(read: Read, result_of: Callable[..., Result]) -> None:
    result = result_of(replace(read(), repeats=8), grown=4.0)

    assert row(result, "grown").gain_text(result.ablation) == "> 2.00 ×"
    assert verdict(result, row(result, "grown")) == "better"


def test_an_arm_against_another_is_compared_in_nats_on_equal_seeds(
    read: Read, result_of: Callable[..., Result]
) -> None:
    ablation = read(("envelope: {of: grown, budgets: [0.5, 1, 2]}", "against: silent\nmargin: 0.005"))

    result = result_of(ablation, grown=1.4)

    assert [row.arm for row in result.arms] == ["grown", "silent"]
    assert verdict(result, row(result, "grown")) == "better"
    assert float(row(result, "grown").gain_text(ablation).split()[0]) == pytest.approx(-0.0215, abs=0.004)
    assert row(result, "silent").decision is None


def test_an_unfinished_ablation_says_so_and_decides_nothing_that_it_has_not_seen(
    read: Read, ended: Ended, loss: Callable[..., float]
) -> None:
    ablation = read()
    arms = all_arms(ablation)
    outcomes = ended(ablation, lambda cell, noise: loss(cell.budget, lr=dict(cell.values)["train.lr"]))
    half = {cell: outcome for cell, outcome in outcomes.items() if cell.stage == "tuning" or cell.arm == "grown"}

    result = read_result(ablation, arms, cells_of(ablation, arms, half), half)

    assert row(result, "grown").n == 4
    assert row(result, "grown").decision is None
    assert any("trainings that are known to be needed have ended" in line for line in notes(result))


def test_no_verdict_is_given_before_the_last_training_has_ended(
    read: Read, ended: Ended, loss: Callable[..., float]
) -> None:
    ablation = read()
    arms = all_arms(ablation)
    outcomes = ended(ablation, lambda cell, noise: loss(cell.budget, lr=dict(cell.values)["train.lr"]) + noise, noise=1)
    *most, last = [cell for cell in outcomes if cell.stage == "repeat"]
    without_last = {cell: outcome for cell, outcome in outcomes.items() if cell != last}

    early, whole = (
        read_result(ablation, arms, cells_of(ablation, arms, found), found) for found in (without_last, outcomes)
    )

    assert most
    assert [row(early, arm).decision for arm in ablation.arms] == [None, None]
    assert None not in [row(whole, arm).decision for arm in ablation.arms]


def test_a_run_that_diverged_is_counted_and_its_cell_leaves_the_envelope(
    read: Read, ended: Ended, loss: Callable[..., float]
) -> None:
    ablation = read()
    arms = all_arms(ablation)

    def truth(cell: Cell, drawn: float) -> float:
        diverges = cell.stage == "repeat" and cell.repeat == 2 and (cell.arm, cell.budget) == ("ungrown 8", 1.0)
        return math.inf if diverges else loss(cell.budget, lr=dict(cell.values)["train.lr"]) + drawn

    outcomes = ended(ablation, truth, noise=0.002)
    result = read_result(ablation, arms, cells_of(ablation, arms, outcomes), outcomes)

    assert (row(result, "ungrown 8").n, row(result, "ungrown 8").n_failed) == (3, 1)
    assert list(result.lost_cells) == ["ungrown 8 at 1 of the budget"]
    assert row(result, "grown").decision is not None


def test_repeats_with_values_that_tuning_chose_no_more_are_in_no_verdict(read: Read, ended: Ended) -> None:
    narrow = replace(read(), tune={"train.lr": (2e-3, 4e-3, 8e-3)})
    wide = replace(narrow, tune={"train.lr": (2e-3, 4e-3, 5e-3, 8e-3)})
    arms = all_arms(narrow)
    before = ended(narrow, lambda cell, noise: abs(dict(cell.values)["train.lr"] - 4.9e-3))
    tuned_anew = [cell for cell in cells_of(wide, arms, before) if cell not in before]
    outcomes = before | {cell: replace(next(iter(before.values())), val_loss=0.0) for cell in tuned_anew}

    result = read_result(wide, arms, cells_of(wide, arms, outcomes), outcomes)

    assert dict(row(result, "grown").values) == {"train.lr": 5e-3}
    assert (row(result, "grown").n, row(result, "grown").val_loss) == (0, None)


@pytest.mark.parametrize("against", ["", "silent"])
def test_a_repeat_that_was_lost_counts_against_its_arm(
    read: Read, ended: Ended, loss: Callable[..., float], against: str
) -> None:
    ablation = replace(read(), against=against, repeats=7, margin=0.005 if against else 0.05)
    arms = all_arms(ablation)

    def truth(cell: Cell, drawn: float) -> float:
        return loss(cell.budget * (1.5 if cell.arm == "grown" else 1.0), lr=dict(cell.values)["train.lr"]) + drawn

    outcomes = ended(ablation, truth, noise=0.0005)
    lost = [cell for cell in outcomes if cell.stage == "repeat" and cell.arm == "grown" and cell.repeat in (1, 2)]
    failed = outcomes | {cell: replace(outcomes[cell], val_loss=math.inf, flops=0) for cell in lost}

    whole = read_result(ablation, arms, cells_of(ablation, arms, outcomes), outcomes)
    result = read_result(ablation, arms, cells_of(ablation, arms, failed), failed)

    assert verdict(whole, row(whole, "grown")) == "better"
    assert verdict(result, row(result, "grown")).startswith("cannot tell")
    assert row(result, "grown").gain_text(ablation).startswith("> " if against else "< ")
    assert any(line.startswith("grown: 2 of 7 repeats diverged or failed") for line in notes(result))


def test_a_narrow_terminal_still_shows_the_verdict(
    read: Read, result_of: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()

    print_table(result_of(read(), grown=1.4), terminal)

    assert "verdict" in terminal.getvalue()
    assert "better" in terminal.getvalue()


def test_before_an_arm_is_tuned_there_is_no_line_and_an_edge_is_told_once(
    read: Read, ended: Ended, loss: Callable[..., float]
) -> None:
    ablation = read()
    arms = all_arms(ablation)
    as_tsv = io.StringIO()
    outcomes = ended(ablation, lambda cell, noise: -dict(cell.values)["train.lr"])

    print_tsv(read_result(ablation, arms, cells_of(ablation, arms, {}), {}), as_tsv)
    lines = notes(read_result(ablation, arms, cells_of(ablation, arms, outcomes), outcomes))

    assert as_tsv.getvalue() == ""
    assert sum(line.startswith("ungrown 8: the best train.lr is the lowest or highest") for line in lines) == 1


def test_every_form_of_the_table_has_the_same_numbers(read: Read, result_of: Callable[..., Result]) -> None:
    result = result_of(read(), grown=1.4)
    as_json, as_tsv, as_rows = io.StringIO(), io.StringIO(), io.StringIO()

    print_json(result, as_json)
    print_tsv(result, as_tsv)
    print_trainings(result, as_rows)

    [grown, *_] = json.loads(as_json.getvalue())["arms"]
    head, first, *_ = (line.split("\t") for line in as_tsv.getvalue().splitlines())
    listed = dict(zip(head, first, strict=True))
    expected = row(result, "grown").val_loss
    assert expected is not None
    assert float(listed["val_loss"]) == grown["val_loss"] == expected.mean
    assert listed["verdict"] == grown["verdict"] == "better"
    assert len(as_rows.getvalue().splitlines()) == 1 + len(result.outcomes)


def test_the_drawing_has_a_line_for_each_interval_over_one_scale(read: Read, result_of: Callable[..., Result]) -> None:
    drawn = [line for line in drawing(result_of(read(), grown=1.5, silent=0.7)) if "●" in line]

    assert [line.split()[0] for line in drawn] == ["grown", "silent"]
    better, worse = (line.index("●") for line in drawn)
    assert worse < drawn[0].index("│") < better
