"""What is said of a corpus when a study is made of it: what is not read, and how often the rest is."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from growlab.preparation.storing import find_or_create
from growlab.storage import Store

Growlab = Callable[..., Any]


@pytest.fixture
def folder(home: Path) -> Path:
    """A corpus with a copy of itself that a tool left."""
    copies = home / "books" / ".ipynb_checkpoints"
    copies.mkdir(parents=True)
    text = (home / "corpus.txt").read_text()
    (home / "books" / "A.TXT").write_text(text)
    (copies / "a-checkpoint.txt").write_text(text)
    return home / "books"


def test_create_says_what_is_not_read_and_how_often_the_rest_is(growlab: Growlab, folder: Path) -> None:
    outcome = growlab("study", "create", "tiny.yaml", "--set", "data.path=books")

    n_train = int(int(len((folder / "A.TXT").read_text()) * 0.9) * 0.9)
    assert outcome.code == 0
    assert f"note: {folder}: 1 file is not read: .ipynb_checkpoints/ (1); only names that end in .txt" in outcome.err
    assert f"note: the first trial reads books {40 * 4 * 16 / n_train:.2g} times\n" in outcome.err
    assert "warning: the first trial reads" not in outcome.err


def test_preview_warns_of_a_stage_that_is_read_again_and_again(growlab: Growlab, home: Path) -> None:
    (home / "stories.txt").write_text("the quick brown fox\n" * 2)
    stages = "curriculum=[{until: 0.5, path: stories.txt}, {until: 1.0}]"

    outcome = growlab("study", "preview", "tiny.yaml", "-n", "1", "--json", "--set", stages)

    assert json.loads(outcome.out)[0]["number"] == 0
    assert "note: the first trial reads curriculum[1] corpus.txt 0.3" in outcome.err
    [warning] = [line for line in outcome.err.splitlines() if line.startswith("warning: the first trial reads")]
    assert warning.startswith(
        "warning: the first trial reads curriculum[0] stories.txt 32 times: what is read more than"
    )
    assert warning.endswith("give more text, or lower the budget or the stage's share of it")


def test_doctor_says_what_is_not_read(growlab: Growlab, folder: Path) -> None:
    (folder.parent / "books.yaml").write_text((folder.parent / "tiny.yaml").read_text().replace("corpus.txt", "books"))

    findings = json.loads(growlab("doctor", "books.yaml", "--json").out)

    [left_out] = [each for each in findings if each["name"] == "left out"]
    assert left_out["status"] == "warning"
    assert left_out["found"] == f"{folder}: 1 file is not read: .ipynb_checkpoints/ (1)"
    assert left_out["advice"].startswith("only names that end in .txt are, and none that is hidden")


def test_one_long_question_does_not_cost_the_rest(growlab: Growlab, home: Path) -> None:
    pairs = [{"question": f"{number}?", "answer": "yes"} for number in range(40)]
    pairs.insert(2, {"question": "why " * 20, "answer": "so"})
    (home / "pairs.json").write_text(json.dumps(pairs))
    settings = ["data.source=qa", "data.path=pairs.json", "train.seq_len=[16, 128]"]

    outcome = growlab("study", "create", "tiny.yaml", *(word for each in settings for word in ("--set", each)))

    assert outcome.code == 0
    assert "questions are left out of training, as they fill train.seq_len 16: entry 3 (82 tokens)\n" in outcome.err


def test_the_width_of_ids_is_recorded_with_their_hash(growlab: Growlab, home: Path) -> None:
    np.arange(3_000, dtype="<u2").tofile(home / "ids.bin")
    settings = ["data={source: bin, path: ids.bin, tokenizer: ids, vocab_size: 3000}"]
    words = [word for each in settings for word in ("--set", each)]

    assert growlab("study", "create", "tiny.yaml", *words).code == 0
    assert json.loads(growlab("study", "show", "tiny", "--json").out)["data"]["dtype"] == "uint16"


def test_a_study_that_was_stored_before_there_was_a_width_is_still_the_one_in_its_file(
    growlab: Growlab, home: Path
) -> None:
    growlab("study", "create", "tiny.yaml")
    with closing(sqlite3.connect(home / "growlab.db")) as database, database:
        database.execute("UPDATE gl_studies SET spec = json_remove(spec, '$.data.dtype')")
        (without,) = database.execute("SELECT spec FROM gl_studies").fetchone()

    with Store.open(f"sqlite:///{home / 'growlab.db'}") as store:
        row = find_or_create(store, "tiny.yaml", [], "", [], print)

    assert "dtype" not in json.loads(without)["data"]
    assert row.study.data.dtype == "uint16"


def test_the_shortest_window_of_a_study_is_checked_too(growlab: Growlab) -> None:
    task = "data={source: recall, tokenizer: ids, vocab_size: 32, n_items: 4}"

    outcome = growlab("study", "create", "tiny.yaml", "--set", task, "--set", "train.seq_len=[4, 64]")

    assert outcome.code == 2
    assert "data.n_items 4 of this task needs train.seq_len of at least" in outcome.err
