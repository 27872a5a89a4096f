"""What is told of a corpus when a study is made of it: what is not read, and how often the rest is."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from growlab import api
from growlab.errors import UsageError
from growlab.preparation.checking import prepare
from growlab.preparation.sources import read_study
from growlab.preparation.storing import find_or_create
from growlab.storage import Store


@pytest.fixture
def folder(home: Path) -> Path:
    """A corpus with a copy of itself that a tool left."""
    copies = home / "books" / ".ipynb_checkpoints"
    copies.mkdir(parents=True)
    text = (home / "corpus.txt").read_text()
    (home / "books" / "A.TXT").write_text(text)
    (copies / "a-checkpoint.txt").write_text(text)
    return home / "books"


def told_of(*overrides: str) -> list[str]:
    """What is told of tiny.yaml with these changes."""
    told: list[str] = []
    prepare(read_study("tiny.yaml", overrides), [], told.append)
    return told


def test_what_is_not_read_is_told_and_how_often_the_rest_is(folder: Path) -> None:
    told = told_of("data.path=books")

    n_train = int(int(len((folder / "A.TXT").read_text()) * 0.9) * 0.9)
    *_, left_out, readings = told
    assert left_out.startswith(f"note: {folder}: 1 file is not read: .ipynb_checkpoints/ (1); only names that end in ")
    assert readings == f"note: the first trial reads books {40 * 4 * 16 / n_train:.2g} times"


def test_a_stage_that_is_read_again_and_again_is_warned_of(home: Path) -> None:
    (home / "stories.txt").write_text("the quick brown fox\n" * 2)

    *_, note, warning = told_of("curriculum=[{until: 0.5, path: stories.txt}, {until: 1.0}]")

    assert note.startswith("note: the first trial reads curriculum[1] corpus.txt 0.3")
    assert warning.startswith(
        "warning: the first trial reads curriculum[0] stories.txt 32 times: what is read more than"
    )
    assert warning.endswith("give more text, or lower the budget or the stage's share of it")


def test_one_long_question_does_not_cost_the_rest(home: Path) -> None:
    pairs = [{"question": f"{number}?", "answer": "yes"} for number in range(40)]
    pairs.insert(2, {"question": "why " * 20, "answer": "so"})
    (home / "pairs.json").write_text(json.dumps(pairs))

    told = told_of("data.source=qa", "data.path=pairs.json", "train.seq_len=[16, 128]")

    left_out = "questions are left out of training, as they fill train.seq_len 16: entry 3 (82 tokens)"
    assert sum(line.endswith(left_out) for line in told) == 1


def test_the_width_of_ids_is_recorded_with_their_hash(home: Path) -> None:
    np.arange(3_000, dtype="<u2").tofile(home / "ids.bin")
    ids = "data={source: bin, path: ids.bin, tokenizer: ids, vocab_size: 3000}"

    study, _ = prepare(read_study("tiny.yaml", [ids]), [], print)

    assert (study.data.dtype, len(study.data.sha256)) == ("uint16", 64)


def test_a_study_that_was_stored_before_there_was_a_width_is_still_the_one_in_its_file(
    home: Path,
) -> None:
    api.create(api.read_study("tiny.yaml"))
    with closing(sqlite3.connect(home / "growlab.db")) as database, database:
        database.execute("UPDATE gl_studies SET spec = json_remove(spec, '$.data.dtype')")
        (without,) = database.execute("SELECT spec FROM gl_studies").fetchone()

    with Store.open(f"sqlite:///{home / 'growlab.db'}") as store:
        row = find_or_create(store, "tiny.yaml", [], "", [], print)

    assert "dtype" not in json.loads(without)["data"]
    assert row.study.data.dtype == "uint16"


def test_the_shortest_window_of_a_study_is_checked_too(home: Path) -> None:
    task = "data={source: recall, tokenizer: ids, vocab_size: 32, n_items: 4}"

    with pytest.raises(UsageError, match=r"data\.n_items 4 of this task needs train\.seq_len of at least"):
        told_of(task, "train.seq_len=[4, 64]")
