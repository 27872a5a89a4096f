"""Commands in odd places: folders and words that are not UTF-8, a locale of ASCII, a folder in the user's home."""

import io
import os
import sys
from pathlib import Path

import pytest

from growlab.commands import main
from growlab.storage import Store

LATIN1 = os.fsdecode(b"caf\xe9")


@pytest.fixture
def in_latin1(home, monkeypatch):
    """A folder whose name is not UTF-8."""
    folder = home / LATIN1
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    monkeypatch.chdir(folder)


@pytest.mark.usefixtures("in_latin1")
def test_a_database_is_read_in_a_folder_whose_name_is_not_utf8(growlab):
    assert growlab("study", "create", "../tiny.yaml").code == 0

    assert growlab("study", "list").out == "tiny\t2 trials: not begun\n"
    assert growlab("report", "tiny").code == 0
    assert growlab("study", "list", "--storage", f"sqlite:///../{LATIN1}/growlab.db").code == 0


@pytest.mark.usefixtures("in_latin1")
def test_a_study_cannot_record_a_path_that_is_not_utf8(growlab):
    Path("tiny.yaml").write_bytes(Path("../tiny.yaml").read_bytes())

    refused = growlab("study", "create", "tiny.yaml")

    assert refused.code == 2
    assert r"caf\udce9/corpus.txt' is not UTF-8, so no study can record it" in refused.err
    assert not Path("growlab.db").exists()


@pytest.mark.parametrize(
    "words", [["report"], ["study", "show"], ["study", "delete"], ["worker"], ["export", "-o", "x"]]
)
def test_a_study_name_that_is_not_utf8_is_no_study(growlab, words):
    Store.open("sqlite:///growlab.db", create=True).close()

    refused = growlab(*words, LATIN1)

    assert refused.code == 1
    assert refused.err.startswith(r"error: no study 'caf\udce9', and none at all here")


def test_a_worker_has_a_name_that_can_be_stored(growlab):
    refused = growlab("worker", "tiny", "--name", LATIN1)

    assert (refused.code, refused.err) == (2, "error: --name must be UTF-8, got 'caf\\udce9'\n")


def test_what_is_written_into_a_file_is_utf8_whatever_the_locale(growlab, monkeypatch):
    growlab("study", "create", "tiny.yaml", "--name", "étude-τ")
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["growlab", "study", "list"])

    with pytest.raises(SystemExit):
        main()

    assert written.getvalue().decode() == "étude-τ\t2 trials: not begun\n"


def test_folders_are_meant_from_the_home_folder(growlab, home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    (home / "taken").touch()

    artifacts = growlab("doctor", "--artifacts=~/art", "--json").out
    refused = growlab("train", "config.yaml", "--output=~/taken")

    assert f'"{home}/art, ' in artifacts
    assert refused.err == f"error: {home}/taken is there already; give another folder, or remove it first\n"
