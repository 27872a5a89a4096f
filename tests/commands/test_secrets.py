"""No command repeats what stands in a storage URL, with --debug or without, whatever else is wrong."""

import sys
import traceback
from dataclasses import asdict
from pathlib import Path

import pytest

from growlab.commands import main
from growlab.commands.options import this_command
from growlab.doctor.storage import check_storage
from growlab.errors import StorageError
from growlab.preparation.command_lines import place_options

SECRET = "s3cr3tWord"
URLS = (
    f"u:{SECRET}",
    f"host=h user=u password={SECRET}",
    f"postgresql://u:{SECRET}",
    f"postgresql://u:{SECRET}%40h/d",
    f"postgresql://u:hun@{SECRET}?x@h/d",
    f"postgresql://u:{SECRET}@127.0.0.1:1/d",
    f"postgresql://u%3A{SECRET}@127.0.0.1:1/d%3A{SECRET}",
    f"postgresql://u@127.0.0.1:1/d?PASSWORD={SECRET}",
    f"postgresql://u@127.0.0.1:1/d?sslmode={SECRET}&passfile={SECRET}&options={SECRET}",
    f"sqlite:///x.db?{SECRET}=1",
)
COMMANDS = (
    ("study", "list"),
    ("study", "run", "quickstart"),
    ("report", "nightly", "--trial", "3"),
    ("worker", "nightly", "--slots", "2", "--patience", "0"),
    ("worker", "nightly", "--patience", "0"),
    ("db", "upgrade"),
)


def said_of(url, words, monkeypatch, capfd):
    """What a command prints, or what Python prints of what it raises."""
    monkeypatch.setattr(sys, "argv", ["growlab", *words, "--storage", url])
    try:
        main()
    except BaseException as leaving:
        raised = "".join(traceback.format_exception(leaving))
    captured = capfd.readouterr()
    return captured.out + captured.err + ("" if "SystemExit" in raised else raised)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("debug", [False, True])
def test_no_command_prints_a_secret(url, debug, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    if debug:
        monkeypatch.setenv("GROWLAB_DEBUG", "1")
    for words in COMMANDS:
        said = said_of(url, words, monkeypatch, capfd)

        assert ("StorageError" in said or "DatabaseAway" in said) if debug else said.startswith("error: ")
        assert SECRET not in said


@pytest.mark.parametrize("url", URLS)
def test_no_check_and_no_suggestion_holds_a_secret(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["growlab", "train", "c.yaml", "--storage", url, f"--storage={url}"])

    said = [str(asdict(finding)) for finding in check_storage(url)]
    said.append(this_command("sqlite:///x.db", "--resume"))
    try:
        said += place_options(url, artifacts=Path("a"))
    except StorageError as error:
        said.append(str(error))

    assert SECRET not in "\n".join(said)


def test_a_url_where_a_study_s_name_belongs_is_repeated_without_its_password(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    words = ("study", "preview", f"postgresql://u:{SECRET}@127.0.0.1/d")
    monkeypatch.setattr(sys, "argv", ["growlab", *words])

    with pytest.raises(SystemExit):
        main()

    said = capfd.readouterr().err
    assert said.startswith("error: no study file 'postgresql://u:***@127.0.0.1/d'")
