"""What api.load_study gives: frames with the documented columns, figures, a cell of a notebook."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from growlab import api
from growlab.errors import NotFound, StorageError, UsageError
from growlab.frames.columns import FRAMES, markdown
from growlab.frames.stacks import stacks_of
from growlab.notebook import LoadedStudy
from growlab.records import GrowthEvent, TrajectoryPoint


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, furnish: Callable, play: Callable[..., str]) -> LoadedStudy:
    folder = tmp_path_factory.mktemp("played")
    furnish(folder)
    return api.load_study(play(folder), "tiny", tell=lambda _: None)


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_has_the_documented_columns_in_the_documented_types(study: LoadedStudy, name: str) -> None:
    frame = getattr(study, name)()

    documented = {column.name: column.dtype for column in FRAMES[name]}
    found = {column: str(dtype) for column, dtype in frame.dtypes.items()}
    assert {column: found[column] for column in documented} == documented
    assert list(frame.columns)[: len(documented)] == list(documented)
    assert len(frame) > 0


@pytest.mark.parametrize("name", [name for name in FRAMES if name != "trials"])
def test_only_trials_have_columns_of_a_study_s_own(study: LoadedStudy, name: str) -> None:
    assert len(getattr(study, name)().columns) == len(FRAMES[name])


def test_the_documents_list_every_column(repository: Path) -> None:
    text = (repository / "docs" / "notebooks.md").read_text()

    assert "\n".join(markdown()).strip() in text


def test_trials_are_in_order_with_objectives_and_searched_scalars_last(study: LoadedStudy) -> None:
    trials = study.trials()

    assert list(trials.trial) == list(range(6))
    assert list(trials.state) == ["completed"] * 3 + ["diverged", "paused", "running"]
    assert "train.lr" in trials.columns[len(FRAMES["trials"]) :]
    assert trials["rank"].fillna(0).tolist() == [3, 2, 1, 0, 0, 0]
    assert trials.front.fillna(False).sum() == 3
    assert trials.val_loss[2] == 1.75


def test_metrics_are_asked_for_by_name_and_split(study: LoadedStudy) -> None:
    everything, losses = study.metrics(), study.metrics("loss", split="val")

    assert len(everything) == 6 * 8 * 2
    assert set(losses.name) == {"loss"}
    assert losses[losses.trial == 0].value.iloc[0] == pytest.approx(1.5 + 0.5 + 0.2)
    assert study.metrics("loss", split="train").empty


def test_a_trajectory_is_of_means_of_one_tensor_or_of_all(study: LoadedStudy) -> None:
    n = {tensor: len(study.trajectory(tensor)) for tensor in ("", "weight", None)}

    assert n == {"": 96, "weight": 96, None: 192}


def test_what_a_person_does_to_a_frame_stays_in_it(study: LoadedStudy) -> None:
    mine = study.trials()
    mine.loc[:, "val_loss"] = 0.0

    assert study.trials().val_loss[2] == 1.75


def test_a_cell_shows_the_best_trials_and_obeys_no_text(study: LoadedStudy) -> None:
    shown = study._repr_html_()

    assert shown.startswith("<div><strong>tiny: 4 of 6 trials ended")
    assert shown.count("<tr>") == 1 + 3
    assert "1.7500" in shown
    assert "<script" not in shown


def test_a_stack_grows_by_its_events(study: LoadedStudy) -> None:
    study.load_kinds()
    events = study.growth_events()
    layout = study.trials().layout[0]

    first, second = stacks_of(layout, events[events.trial == 0])

    assert (first.step, second.step) == (0, 10)
    assert len(second.blocks) == len(first.blocks) + 1
    assert sum(second.entered) == 1


def test_a_study_file_is_not_loaded_but_read(study: LoadedStudy) -> None:
    with pytest.raises(UsageError, match=r"api\.read_study\('tiny\.yaml'\)"):
        api.load_study("tiny.yaml", "tiny")
    with pytest.raises(UsageError, match=r"api\.read_study\('quickstart'\)"):
        api.load_study("quickstart")
    with pytest.raises(UsageError, match="read_study"):
        api.load_study("quickstart", ["n_trials=2"])  # type: ignore[arg-type]  # as it was called once


def test_a_study_or_database_that_is_not_there_is_named(study: LoadedStudy, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nosuch"):
        api.load_study(study._storage, "nosuch")
    with pytest.raises(StorageError, match=r"none\.db"):
        api.load_study(f"sqlite:///{tmp_path / 'none.db'}", "tiny")


def test_fields_of_records_are_the_columns_in_their_order() -> None:
    for record, name in ((TrajectoryPoint, "trajectory"), (GrowthEvent, "growth_events")):
        assert ["trial", *(member.name for member in fields(record))] == [column.name for column in FRAMES[name]]
