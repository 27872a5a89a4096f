"""growlab test: the final model on the test split, by the code that evaluates, once."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from growlab.data import load_corpus
from growlab.errors import CheckpointError, NotFound, UsageError
from growlab.export.held_out import HeldOut, read_held_out
from growlab.export.load import load_model
from growlab.export.ranking import best_trials
from growlab.report.groups import read_groups
from growlab.report.leaderboard import read_leaderboard
from growlab.storage import Database, Store, back_up
from growlab.training.evaluation import bits_per_byte, evaluate

CPU = torch.device("cpu")


@pytest.fixture
def own(lab: Any, tmp_path: Path) -> Iterator[Any]:
    """With a database of its own, as what is on record stays there."""
    url = f"sqlite:///{tmp_path / 'own.db'}"
    with closing(Database.open(lab.store.url)) as database:
        back_up(database, tmp_path / "own.db")
    with closing(Store.open(url)) as store:
        yield replace(lab, store=store)


def held_out(lab: Any, number: int, **more: Any) -> HeldOut:
    return read_held_out(
        lab.store,
        lab.study_row,
        number,
        storage=lab.store.url,
        artifact_root=lab.artifacts,
        device="cpu",
        tell=lambda _: None,
        **more,
    )


def evaluated(lab: Any, number: int, split: str) -> float:
    """The final model's loss, computed here."""
    trial = lab.store.trial(lab.study_row.id, number)
    [artifact] = [artifact for artifact in lab.store.artifacts(trial.id) if artifact.kind == "model"]
    model = load_model(lab.artifacts / artifact.path, artifact.sha256)
    ids = getattr(load_corpus(trial.spec.data), split)
    return evaluate(model, ids, seq_len=16, batch_size=4, precision="fp32", device=CPU).loss


def test_the_final_model_is_evaluated_on_all_of_the_test_split(own: Any) -> None:
    trial = own.store.trial(own.study_row.id, 0)
    corpus = load_corpus(trial.spec.data)

    found = held_out(own, 0)

    assert evaluated(own, 0, "val") == pytest.approx(trial.val_loss, abs=1e-6)  # so it is the trained model
    assert found.loss == evaluated(own, 0, "test") != trial.val_loss
    assert found.bits_per_byte == bits_per_byte(found.loss, corpus.test_bytes_per_token)
    assert (found.accuracy, found.val_loss, found.is_first) == (None, trial.val_loss, True)


def test_the_second_time_the_record_is_shown_and_nothing_is_computed(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = held_out(own, 0)

    monkeypatch.setattr("growlab.training.evaluation.evaluate", None)
    again = held_out(own, 0)

    assert again == replace(first, is_first=False)


def test_whoever_was_faster_counts(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = own.store.trial(own.study_row.id, 0)

    def slowly(*args: Any, **more: Any) -> Any:
        own.store.record_test(trial.id, {"loss": 1.25})
        return evaluate(*args, **more)

    monkeypatch.setattr("growlab.training.evaluation.evaluate", slowly)

    found = held_out(own, 0)

    assert (found.loss, found.bits_per_byte, found.is_first) == (1.25, None, False)


def test_no_ranking_changes_with_it(own: Any) -> None:
    def ranked() -> Any:
        store, row = own.store, own.study_row
        return (
            read_leaderboard(store, row.id),
            [trial.number for trial in best_trials(store, row)],
            read_groups(store, [row], "seed", margin=0.01),
            store.past_trials(row.id, "val_loss"),
        )

    before = ranked()
    worst = before[1][-1]
    own.store.record_test(own.store.trial(own.study_row.id, worst).id, {"loss": 0.0, "bits_per_byte": 0.0})

    assert ranked() == before


def test_an_unfinished_trial_has_no_final_model(own: Any) -> None:
    with pytest.raises(UsageError, match="trial 2 is queued, and only a completed trial has a final model to test"):
        held_out(own, 2)
    with pytest.raises(NotFound, match="no trial 7; the study has trials 0 to 2"):
        held_out(own, 7)


def test_a_study_without_a_test_split_is_refused(own: Any) -> None:
    study = own.study_row.study
    row = replace(own.study_row, study=replace(study, data=replace(study.data, test_fraction=0.0)))

    with pytest.raises(UsageError, match=r"study 'tiny' has data.test_fraction 0: .* nothing was kept for a test"):
        held_out(replace(own, study_row=row), 0)


def test_a_model_that_is_missing_or_damaged_leaves_nothing_on_record(own: Any) -> None:
    trial = own.store.trial(own.study_row.id, 0)
    [artifact] = [artifact for artifact in own.store.artifacts(trial.id) if artifact.kind == "model"]
    path = own.artifacts / artifact.path

    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is damaged: its sha256 is not the recorded"):
        held_out(own, 0)
    path.unlink()
    with pytest.raises(CheckpointError, match="is missing; give the artifact folder of the worker that trained it"):
        held_out(own, 0)

    assert own.store.metrics(trial.id, "test") == []
