"""The model card says which trial it is, how it was trained, chosen and confirmed, and how it grew."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from growlab.export.bundle import export_trial
from growlab.export.card import model_card
from growlab.export.record import Confirmation, TrialRecord, read_record
from growlab.statistics.intervals import estimate


@pytest.fixture
def record(lab: Any) -> TrialRecord:
    return read_record(lab.store, lab.study_row, None)


def card_of(record: TrialRecord) -> str:
    return model_card(record, str(record.trial.layout_end), {"a.txt": "a file"}, library="growlab", usage="Run it.")


def metadata_of(card: str) -> dict[str, Any]:
    metadata: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return metadata


def test_its_metadata_are_what_the_hub_and_programs_read(record: TrialRecord) -> None:
    metadata, trial = metadata_of(card_of(record)), record.trial

    assert (metadata["library_name"], metadata["pipeline_tag"]) == ("growlab", "text-generation")
    [model] = metadata["model-index"]
    [result] = model["results"]
    assert result["dataset"] == {"name": "corpus.txt", "type": "text", "split": "validation"}
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [
        ("loss", trial.val_loss),
        ("bits_per_byte", trial.bits_per_byte),
    ]
    own = metadata["growlab"]
    assert (own["study"], own["trial"], own["seed"]) == ("tiny", trial.number, record.spec.seed)
    assert (own["layout"], own["n_params"]) == (trial.layout_end, trial.n_params)
    assert own["data"]["sha256"] == record.spec.data.sha256


def test_people_read_how_it_was_chosen_trained_and_grew(record: TrialRecord) -> None:
    card = card_of(record)

    assert "- rank 1 by val_loss, of 2 completed trial(s) of `tiny`" in card
    assert "- proposed as: random" in card
    assert "- not confirmed: the best of many trials was lucky too" in card
    assert f"seed {record.spec.seed}; 24 steps of 4 × 16 tokens" in card
    [event] = record.growth_events
    assert f"| 12 | `{event.unit}` | {event.position} | {event.operator} | {event.reason} |" in card
    assert "Nobody has read the test split for it." in card
    assert "- `a.txt`: a file" in card


def test_where_it_lay_on_a_disk_is_not_told(record: TrialRecord) -> None:
    assert str(Path(record.spec.data.path).parent) not in card_of(record)


def test_what_trained_it_is_named_and_a_plugin_by_its_file(record: TrialRecord) -> None:
    versions = {"growlab": "0.1.0", "torch": "2.13", "plugin /home/me/mine.py": "abc"}

    card = card_of(replace(record, versions=versions, trained_on="cuda:0"))

    assert "- growlab 0.1.0, torch 2.13, plugin mine.py abc" in card
    assert "- on cuda:0" in card
    assert "/home/me" not in card


def test_a_test_split_that_was_read_and_fresh_seeds_are_results_too(record: TrialRecord) -> None:
    confirmed = Confirmation(study="tiny-confirm", objective=estimate([2.0, 2.2, 2.1]), seeds=(7, 8, 9))

    card = card_of(replace(record, test={"loss": 2.5, "bits_per_byte": 3.5}, confirmation=confirmed))

    assert "| test | 2.5000 | 3.5000 |" in card
    assert [result["dataset"]["split"] for result in metadata_of(card)["model-index"][0]["results"]] == [
        "validation",
        "test",
    ]
    assert "confirmed on 3 fresh seed(s), study `tiny-confirm`: val_loss 2.1000 ± 0.2484 (95 %, Student's t)" in card


def test_a_trial_that_did_not_grow_says_so(record: TrialRecord) -> None:
    assert "It did not grow: it began with its 2 blocks." in card_of(replace(record, growth_events=[]))


def test_every_bundle_has_one_that_says_how_to_run_it(lab: Any, tmp_path: Path) -> None:
    folder = export_trial(lab.store, lab.study_row, None, lab.artifacts, tmp_path / "bundle")

    card = (folder / "README.md").read_text()

    assert "growlab generate ." in card
    assert metadata_of(card)["growlab"]["layout"] == yaml.safe_load((folder / "config.yaml").read_text())["layout"]
