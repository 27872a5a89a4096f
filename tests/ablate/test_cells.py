"""Which trainings an ablation has: all sides tuned alike, wider where an optimum stands at an edge, then repeats."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from growlab.ablate.arms import all_arms
from growlab.ablate.cells import MOST_WIDENINGS, Cell, Outcome, cells_of, planned_cells, tune
from growlab.ablate.file import Ablation

Read = Callable[..., Ablation]
Ended = Callable[..., dict[Cell, Outcome]]


def lr_of(cell: Cell) -> float:
    return float(dict(cell.values)["train.lr"])


def test_at_first_every_arm_and_every_depth_of_the_envelope_is_tuned_alike(read: Read) -> None:
    ablation = read()

    cells = cells_of(ablation, all_arms(ablation), {})

    assert {cell.stage for cell in cells} == {"tuning"}
    for name in all_arms(ablation):
        assert [lr_of(cell) for cell in cells if cell.arm == name] == [2e-3, 4e-3, 8e-3]


def test_an_optimum_inside_the_list_is_repeated_and_one_at_its_edge_widens_it_first(
    read: Read, ended: Ended, loss: Callable[..., float]
) -> None:
    ablation = read()
    best = {"silent": 12e-3, "ungrown 6": 1e-3}

    outcomes = ended(ablation, lambda cell, noise: loss(1, lr=lr_of(cell), best_lr=best.get(cell.arm, 4e-3)))

    tuned = {name: tune(ablation, arm, outcomes) for name, arm in all_arms(ablation).items()}
    assert tuned["grown"].values == (("train.lr", 4e-3),)
    assert sorted({lr_of(cell) for cell in tuned["silent"].cells}) == [2e-3, 4e-3, 8e-3, 0.01131, 0.01599]
    assert tuned["silent"].values == (("train.lr", 0.01131),)
    assert min(lr_of(cell) for cell in tuned["ungrown 6"].cells) < dict(tuned["ungrown 6"].values or ())["train.lr"]
    assert not any(found.at_edge for found in tuned.values())
    repeats = [cell for cell in outcomes if cell.stage == "repeat"]
    assert Counter(cell.arm for cell in repeats) == {"grown": 4, "silent": 4} | {
        f"ungrown {depth}": 12 for depth in (6, 8, 10)
    }
    assert {lr_of(cell) for cell in repeats if cell.arm == "silent"} == {0.01131}


def test_an_optimum_that_keeps_to_the_edge_is_repeated_there_and_said(read: Read, ended: Ended) -> None:
    ablation = read()

    outcomes = ended(ablation, lambda cell, noise: -lr_of(cell))

    found = tune(ablation, all_arms(ablation)["grown"], outcomes)
    assert len(found.cells) == 3 + MOST_WIDENINGS
    assert found.at_edge == ("train.lr",)


@pytest.mark.parametrize(
    ("name", "values", "best", "tried"),
    [
        ("train.batch_size", (4, 8), 64, [4, 8, 11, 16, 23, 33]),
        ("growth.entry_scale", (0.5, 0.9), 1, [0.5, 0.9, 1.0]),
        ("growth.freeze_steps", (0, 4), 0, [0, 4]),
        ("growth.trigger.at.shares", (0.4, 0.8), 1, [0.4, 0.8]),
        ("growth.tau_crit", (1.0, 2.0), 1.2, [0.7071, 1.0, 2.0]),
    ],
)
def test_a_list_goes_on_only_to_what_the_value_may_be(
    read: Read, ended: Ended, name: str, values: tuple[float, ...], best: float, tried: list[float]
) -> None:
    ablation = replace(read(), tune={name: values})

    outcomes = ended(ablation, lambda cell, noise: abs(float(dict(cell.values).get(name, 0)) - best))

    found = tune(ablation, all_arms(ablation)["grown"], outcomes)
    assert sorted({dict(cell.values)[name] for cell in found.cells}) == tried


def test_beside_a_text_only_numbers_have_neighbours(read: Read, ended: Ended) -> None:
    ablation = replace(read(), tune={"growth.trigger.at.shares": (0.1, "0.1 0.2")})

    outcomes = ended(ablation, lambda cell, noise: len(str(dict(cell.values).get("growth.trigger.at.shares"))))

    found = tune(ablation, all_arms(ablation)["grown"], outcomes)
    assert {dict(cell.values)["growth.trigger.at.shares"] for cell in found.cells} > {0.1, "0.1 0.2", 0.1414}


def test_what_diverged_in_tuning_is_not_chosen(read: Read, ended: Ended, loss: Callable[..., float]) -> None:
    ablation = read()

    outcomes = ended(
        ablation, lambda cell, noise: float("inf") if lr_of(cell) > 5e-3 else loss(1, lr=lr_of(cell), best_lr=8e-3)
    )

    assert tune(ablation, all_arms(ablation)["grown"], outcomes).values == (("train.lr", 4e-3),)


def test_nothing_of_growth_is_tuned_where_nothing_grows(read: Read) -> None:
    ablation = replace(read(), tune={"train.lr": (1e-3,), "growth.entry_scale": (0.3, 1.0)})

    cells = cells_of(ablation, all_arms(ablation), {})

    expected = {"grown": 2, "silent": 2, "ungrown 6": 1, "ungrown 8": 1, "ungrown 10": 1}
    assert Counter(cell.arm for cell in cells) == expected


def test_repeats_come_seed_by_seed_so_that_an_interrupted_ablation_has_whole_seeds(
    read: Read, ended: Ended, loss: Callable[..., float]
) -> None:
    ablation = read()
    outcomes = ended(ablation, lambda cell, noise: loss(1, lr=lr_of(cell)))

    cells = [cell for cell in cells_of(ablation, all_arms(ablation), outcomes) if cell.stage == "repeat"]

    assert [cell.repeat for cell in cells] == sorted(cell.repeat for cell in cells)
    assert len(set(cells)) == len(cells) == 4 * (2 + 3 * 3)


def test_a_plan_shows_what_is_certain(read: Read) -> None:
    ablation = read()

    planned = planned_cells(ablation, all_arms(ablation))

    assert Counter(cell.stage for cell in planned) == {"tuning": 15, "repeat": 44}


@pytest.mark.parametrize("values", [(), (("train.lr", 4e-3), ("growth.entry_scale", 1.0))])
def test_a_cell_is_known_again_by_its_row(values: tuple[tuple[str, float], ...]) -> None:
    cell = Cell(stage="repeat", arm="ungrown 6", budget=0.7, repeat=3, values=values)

    assert Cell.of(cell.params()) == cell
