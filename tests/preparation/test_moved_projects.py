"""A project whose folder was moved, or that is on another machine by now: its texts are known by their sha256."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from growlab import api
from growlab.data import RecentCorpus
from growlab.errors import DataError, UsageError
from growlab.kinds import KINDS
from growlab.moved import find_moved, moves_between, paths_of
from growlab.preparation.again import enqueue_again, read_again
from growlab.preparation.command_lines import path_options
from growlab.preparation.places import folders_near
from growlab.preparation.storing import find_or_create
from growlab.preparation.texts import with_found_texts, with_paths
from growlab.search import preview
from growlab.storage import Store
from growlab.study.column import trial_spec_to_mapping

HERE = "sqlite:///growlab.db"
STAGES = "curriculum: [{until: 0.5, path: stages/first.txt}, {until: 1}]\n"


@pytest.fixture
def moved(home, monkeypatch) -> Path:
    """A project with a study of two texts, in a folder that had another name when the study was created."""
    before, after = home / "before", home / "after"
    (before / "stages").mkdir(parents=True)
    (home / "corpus.txt").rename(before / "corpus.txt")
    (before / "stages" / "first.txt").write_text("the lazy dog sleeps on.\n" * 99)
    study = (home / "tiny.yaml").read_text().replace("steps: 40", "steps: 4")
    (before / "tiny.yaml").write_text(study + STAGES)
    monkeypatch.chdir(before)
    api.create(api.read_study("tiny.yaml"))
    before.rename(after)
    monkeypatch.chdir(after)
    return after


@pytest.fixture
def store(moved):
    with Store.open(HERE) as store:
        yield store


def paths(study) -> list[str]:
    return list(paths_of(study.data, study.curriculum).values())


def test_every_text_of_a_moved_project_is_found_below_the_database(store, moved, monkeypatch):
    monkeypatch.chdir("/")
    said: list[str] = []
    stored = store.study("tiny").study

    here = with_found_texts(stored, f"sqlite:///{moved}/growlab.db", [], said.append)

    assert paths(here) == [f"{moved}/corpus.txt", f"{moved}/stages/first.txt"]
    before = moved.with_name("before")
    assert said[0] == (
        f"{before}/corpus.txt is not as it was recorded; the recorded one was found by its sha256: {moved}/corpus.txt"
    )


def test_a_text_beside_the_projects_folder_is_found_too(store, moved):
    for name in ("corpus.txt", "stages"):
        (moved / name).rename(moved.parent / name)

    here = with_found_texts(store.study("tiny").study, HERE, [], print)

    assert paths(here) == [f"{moved.parent}/corpus.txt", f"{moved.parent}/stages/first.txt"]


def test_of_a_study_on_a_server_the_working_folder_is_where_texts_are_looked_for(moved):
    assert folders_near("postgresql://host/growlab") == [moved]


def test_another_text_at_the_old_place_or_at_a_likely_one_is_not_taken(store, moved):
    before = moved.with_name("before")
    before.mkdir()
    (before / "corpus.txt").write_text("another text\n" * 99)
    (moved.parent / "corpus.txt").write_text("yet another\n" * 99)

    here = with_found_texts(store.study("tiny").study, HERE, [], print)

    assert paths(here) == [f"{moved}/corpus.txt", f"{moved}/stages/first.txt"]


def test_what_is_nowhere_is_a_warning_with_the_option_that_names_its_place(store, moved):
    (moved / "corpus.txt").unlink()
    said: list[str] = []
    stored = store.study("tiny").study

    assert with_found_texts(stored, HERE, [], said.append) == stored
    [warning] = said
    assert warning.startswith("warning: not as it was recorded: data.path ")
    assert warning.endswith("say where it lies now, such as: --set data.path=FILE")


def test_nothing_is_read_while_everything_is_where_it_was(store, moved):
    study = store.study("tiny").study
    moved.rename(moved.with_name("before"))

    def unread(*_):
        raise AssertionError

    assert find_moved(study.data, study.curriculum, [moved.with_name("before")], unread) == {}


def test_a_study_file_in_the_moved_folder_is_the_study_that_is_stored(store, moved):
    row = find_or_create(store, "tiny.yaml", [], "", [], print)

    assert paths(row.study) == [f"{moved}/corpus.txt", f"{moved}/stages/first.txt"]
    assert path_options(store.study("tiny").study, row.study) == [
        "--set",
        f"data.path={moved}/corpus.txt",
        "--set",
        f"curriculum.0.path={moved}/stages/first.txt",
    ]


def test_the_new_place_of_a_stored_studys_text_can_be_said(store, moved):
    row = find_or_create(store, "tiny", ["data.path=corpus.txt", "curriculum.0.path=stages/first.txt"], "", [], print)

    assert paths(row.study) == [f"{moved}/corpus.txt", f"{moved}/stages/first.txt"]


def test_of_a_stored_study_nothing_but_paths_can_be_said(store, moved):
    with pytest.raises(UsageError, match="study 'tiny' is stored and stays as it is; --set says where its texts lie"):
        with_paths(store.study("tiny").study, ["train.lr=1e-3"])


def test_a_study_file_with_another_text_is_another_study(store, moved):
    (moved / "corpus.txt").write_text("another text, and a long one\n" * 99)

    with pytest.raises(UsageError, match=r"exists and is not the one in tiny\.yaml"):
        find_or_create(store, "tiny.yaml", [], "", [], print)


def test_a_trainer_reads_the_text_where_it_lies_now(store, moved):
    stored = store.study("tiny").study
    here = with_found_texts(stored, HERE, [], print)
    known = RecentCorpus(moves_between(stored, here) or {})

    assert known.load(stored.data, stored.curriculum).label == f"{moved}/corpus.txt"
    with pytest.raises(DataError, match="cannot be read"):
        RecentCorpus().load(stored.data, stored.curriculum)


@pytest.mark.slow
def test_a_worker_trains_a_moved_study(moved: Path):
    (moved / "corpus.txt").rename(moved / "renamed.txt")
    options = ["--max-trials", "1", "--threads", "1", "--set", "data.path=renamed.txt"]

    worked = subprocess.run(
        [sys.executable, "-m", "growlab", "worker", "tiny", *options], capture_output=True, text=True, check=False
    )

    assert (worked.returncode, worked.stderr.splitlines()[-1]) == (0, "1 trial(s) finished by this worker")


def test_the_text_of_an_exported_configuration_is_found_beside_it(moved, store):
    [proposal] = preview(store.study("tiny").study, KINDS, lambda layout: 0, 1)
    bundle = moved.parent / "elsewhere" / "model"
    bundle.mkdir(parents=True)
    (bundle / "config.yaml").write_text(yaml.safe_dump({"trial_spec": trial_spec_to_mapping(proposal.spec)}))
    for name in ("corpus.txt", "stages"):
        (moved / name).rename(bundle.parent / name)
    said: list[str] = []

    study, spec = read_again(bundle, [], None, name="tiny", storage=HERE, plugins=[], tell=said.append)

    assert any(line.endswith(f"the recorded one was found by its sha256: {bundle.parent}/corpus.txt") for line in said)
    assert spec.data.path == study.data.path == f"{bundle.parent}/corpus.txt"
    with pytest.raises(UsageError, match="study 'tiny' exists and is not this training"):
        enqueue_again(store, study, spec, resume=False, tell=said.append)
