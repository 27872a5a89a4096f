"""An exported model on a text of one's own: what an evaluation in training says, from the bundle alone."""

import json
import math
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from growlab.commands import app
from growlab.data import load_corpus
from growlab.errors import DataError, UsageError
from growlab.export.evaluating import evaluate_bundle
from growlab.study.column import trial_spec_from_mapping


def test_a_pass_over_the_val_split_as_a_file_has_the_trials_own_loss(exported: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((exported / "config.yaml").read_text())
    corpus = load_corpus(trial_spec_from_mapping(config["trial_spec"]).data)
    val = tmp_path / "val.txt"
    val.write_text(corpus.tokenizer.decode(corpus.val))

    found = evaluate_bundle(exported, str(val), n_items={})

    assert found.text is not None
    assert found.text.loss == pytest.approx(config["result"]["val_loss"], rel=1e-6)
    assert found.text.bits_per_byte == pytest.approx(config["result"]["bits_per_byte"], rel=1e-6)
    assert found.text.perplexity == math.exp(found.text.loss)
    assert (found.text.n_tokens, found.text.n_bytes) == (corpus.val.size - 1, corpus.val.size - 1)


def test_a_table_is_read_by_its_column(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"body": "12 squared is 144"}\n{"body": "and its half"}\n')
    (tmp_path / "rows.txt").write_text("12 squared is 144\nand its half")

    of_table = evaluate_bundle(exported, str(tmp_path / "rows.jsonl"), column="body", n_items={})
    of_text = evaluate_bundle(exported, str(tmp_path / "rows.txt"), n_items={})

    assert of_table.text is not None
    assert of_text.text is not None
    assert of_table.text.loss == of_text.text.loss


def test_tasks_say_how_much_is_right_beside_a_guess(exported: Path) -> None:
    found = evaluate_bundle(exported, "", n_items={"recall": 2, "needle": 1})

    recall, needle = found.tasks
    assert found.text is None
    assert (recall.task, recall.n_items, recall.length) == ("recall", 2, 17)
    assert 0 <= recall.accuracy <= 1
    assert 0 < needle.chance < recall.chance * 2 < 1
    assert recall.loss > 0


def test_the_command_prints_lines_or_json(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("12 squared is 144\nand its half")
    words = ["eval", str(exported), "--data", str(tmp_path / "rows.txt")]

    lines = CliRunner().invoke(app, [*words, "--recall", "2"]).stdout.splitlines()
    as_json = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)

    names = [line.partition("\t")[0] for line in lines]
    assert names == ["loss", "perplexity", "bits_per_byte", "n_tokens", "n_bytes", "recall_accuracy", "recall_chance"]
    assert float(lines[0].split()[1]) == as_json["text"]["loss"]
    assert as_json["tasks"] == []


def test_what_cannot_be_evaluated_is_refused(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("größer")
    (tmp_path / "one.txt").write_text("1")

    with pytest.raises(UsageError, match="say what to evaluate on: --data FILE, --recall N or --needle N"):
        evaluate_bundle(exported, "", n_items={})
    with pytest.raises(DataError, match=r"other\.txt: cannot encode 'g', 'ö', 'ß'"):
        evaluate_bundle(exported, str(tmp_path / "other.txt"), n_items={})
    with pytest.raises(DataError, match=r"one\.txt: has no token that could be predicted"):
        evaluate_bundle(exported, str(tmp_path / "one.txt"), n_items={})
    with pytest.raises(DataError, match=r"nowhere\.txt: cannot be read"):
        evaluate_bundle(exported, str(tmp_path / "nowhere.txt"), n_items={})
    with pytest.raises(UsageError, match="--recall 500 of this task needs a vocabulary of at least 1001"):
        evaluate_bundle(exported, "", n_items={"recall": 500})
