"""growlab demo: from nothing to a grown, exported model and its text, in minutes."""

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from growlab import api
from growlab.commands.options import say
from growlab.defaults import LOCAL_LEASE_S
from growlab.errors import GrowlabError, UsageError
from growlab.preparation.command_lines import place_options
from growlab.preparation.places import ARTIFACTS
from growlab.suggest import command

_STUDY = "quickstart"
_MADE_HERE = {"growlab.db", "growlab.db-wal", "growlab.db-shm", ARTIFACTS, "best"}


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where everything goes; it must be new.")] = Path(
        "growlab-demo"
    ),
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 2,
    again: Annotated[bool, typer.Option("--again", help="Delete the folder first.")] = False,
) -> None:
    """Run the quick-start study on the embedded text: search, grow, report, export, generate."""
    began = time.monotonic()
    _make_room(folder, again)
    storage, artifacts = f"sqlite:///{folder}/growlab.db", folder.resolve() / ARTIFACTS
    grown = _search(storage, artifacts, workers)
    _heading(f"Trial {grown} grew: its curve, its τ and κ, its growth")
    _tell(storage, command("report", _STUDY, options=["--trial", grown]))
    _trial_page(storage, grown)
    _heading("The best model, exported, goes on from 'The '")
    best = folder / "best"
    _tell(storage, command("export", _STUDY, options=["-o", best]))
    _tell(storage, command("generate", best, options=["--prompt", "The "]))
    _export_and_generate(storage, artifacts, best)
    look = command("report", _STUDY, options=place_options(storage))
    say(f"\ngrowlab demo took {time.monotonic() - began:.0f} s; look around with: {look}")


def _make_room(folder: Path, again: bool) -> None:
    """Make an empty folder; of what is there only an earlier demo is deleted, and only when asked to."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder")
    found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if found and not again:
        over = command("demo", options=["--again", "--folder", folder])
        raise UsageError(f"{folder} is not empty; name another with --folder, or delete an earlier demo: {over}")
    if foreign := sorted(found - _MADE_HERE):
        raise UsageError(f"{folder} holds {foreign[0]!r}, which no demo made; nothing was deleted")
    try:
        for name in found:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GrowlabError(f"{folder} cannot be made or emptied: {error.strerror}; --folder names another") from None


def _search(storage: str, artifacts: Path, workers: int) -> int:
    """Run the study, print its leaderboard, and give the number of a trial that grew by the stagnation trigger."""
    from growlab.commands.watching import follower
    from growlab.preparation.storing import find_or_create
    from growlab.report.formats import render
    from growlab.report.leaderboard import read_leaderboard
    from growlab.report.title import read_title
    from growlab.running.crew import Crew
    from growlab.running.work import work
    from growlab.storage import Store

    _heading("A search over hybrid layouts that grow while they train")
    _tell(storage, command("study run", _STUDY, options=["--workers", workers]))
    crew = Crew(storage=storage, artifacts=artifacts, devices=["cpu"] * workers, options={"--lease": LOCAL_LEASE_S})
    again = command("study run", _STUDY, options=place_options(storage))
    with Store.open(storage, create=True) as store:
        row = find_or_create(store, _STUDY, [], "", [], say)
        work(store, row, crew, again=again, follower=follower())
        trials = store.trials(row.id)
        _heading("The leaderboard")
        _tell(storage, command("report", _STUDY))
        rows = read_leaderboard(store, row.id, row.study.objective.metric)
        render(rows, "table", sys.stdout, title=read_title(store, row))
        for trial in sorted(trials, key=lambda trial: trial.val_loss or float("inf")):
            if any(event.reason == "stagnation" for event in store.growth_events(trial.id)):
                return trial.number
    raise GrowlabError("the study is done, but no trial grew; this should not happen: please report it")


def _trial_page(storage: str, number: int) -> None:
    from growlab.report.trial_page import trial_page
    from growlab.storage import Store

    with Store.open(storage) as store:
        trial_page(store, store.study(_STUDY), number, sys.stdout)


def _export_and_generate(storage: str, artifacts: Path, target: Path) -> None:
    from growlab.commands.generate import generate

    api.export(_STUDY, target, storage=storage, artifacts=artifacts)
    generate(target, prompt="The ", device="cpu")


def _heading(text: str) -> None:
    print(f"\n── {text} ──", flush=True)


def _tell(storage: str, line: str) -> None:
    """Print the command that a person would type."""
    print(f"$ GROWLAB_STORAGE={shlex.quote(storage)} {line}", flush=True)
