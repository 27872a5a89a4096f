"""Options that several commands share, and what is made of them."""

import contextlib
import os
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from growlab.commands.completion import stored_studies
from growlab.errors import PluginError, StorageError, UsageError
from growlab.escapes import readable, visible

MOST_THREADS = 1024  # of torch; where a system cannot start as many as it is asked for, torch kills the process
MOST_WORKERS = 256  # on one device; a word too much must not fill the machine with processes


def in_home(path: Path | None) -> Path | None:
    """Expand a path that begins with ~, as a shell does in `-o ~/x`.

    It does neither in `--output=~/x`, nor in quotes, nor in the environment.
    """
    from growlab.home import from_home

    return path and from_home(path)


Storage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="GROWLAB_STORAGE",
        help="The database: sqlite:///FILE or postgresql://user@host/name.",
        show_envvar=True,
    ),
]
Artifacts = Annotated[
    Path | None,
    typer.Option(
        "--artifacts",
        envvar="GROWLAB_ARTIFACTS",
        help="The folder of checkpoints and models; all workers of a study must see the same. "
        "Default: growlab-artifacts beside the SQLite file, else in this folder.",
        callback=in_home,
    ),
]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="The name of a study.", autocompletion=stored_studies)]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps or auto.")]
Devices = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1, mps, auto, or all: a worker for each GPU of this machine.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _plugin_files(given: list[Path] | None) -> list[Path]:
    """The files given, else those of GROWLAB_PLUGINS; absolute, so that other processes find them.

    Read here, as typer takes the empty name in GROWLAB_PLUGINS=$UNSET:FILE for this folder.
    """
    from growlab.plugins import plugin_file

    if given:
        return [plugin_file(path) for path in given]
    named = os.environ.get("GROWLAB_PLUGINS", "").split(os.pathsep)
    try:
        return [plugin_file(Path(name)) for name in named if name]
    except UsageError as error:
        raise PluginError(f"GROWLAB_PLUGINS: {error}") from None


Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="A Python file that registers block kinds, data sources or growth operators; may be repeated. "
        f"Default: those of GROWLAB_PLUGINS, with {os.pathsep!r} between two.",
        callback=_plugin_files,
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="The same bits each time, also on a GPU, at some cost in speed; what cannot do that is refused.",
    ),
]
Patience = Annotated[
    float,
    typer.Option(
        "--patience",
        min=0,
        metavar="SECONDS",
        help="Wait so long for a database that does not answer; what is being trained trains on meanwhile.",
    ),
]
Exported = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that growlab export wrote.")]
Temperature = Annotated[float, typer.Option(help="0 takes the likeliest token.")]
TopK = Annotated[int, typer.Option(help="Draw from the k likeliest; 0: from all.")]
TopP = Annotated[float, typer.Option(help="Draw from the likeliest that reach this share of what top-k leaves.")]
RepetitionPenalty = Annotated[
    float, typer.Option(help="Above 1 tokens that were there before become less likely; 1: no penalty.")
]
Stop = Annotated[
    list[str] | None, typer.Option(metavar="TEXT", help="End before this text, which is not shown; may be repeated.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed draws the same text.")]
HardExit = Annotated[bool, typer.Option("--hard-exit", help="Skip what a router would open less than half; faster.")]
Paths = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=PATH",
        help="Where the same text lies on this machine: data.path, data.val_path, data.tokenizer_path, "
        "curriculum.0.path.",
    ),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the study file, such as train.lr=1e-3.")
]


def say(message: str) -> None:
    """Print a message for the person, not for a pipe. Nobody need be able to read it: a log's disk may be full."""
    with contextlib.suppress(OSError):
        print(readable(message), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print what a model or a person wrote, at once on stdout: as it is in a pipe; a terminal is not to obey it."""
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def this_command(storage: str, option: str) -> str:
    """The command line that runs now, with `option`, for a shell. Never with a password."""
    from growlab.storage.address import read_address

    shown = read_address(storage).shown
    arguments = [_without_password(argument.replace(storage, shown), before) for before, argument in pairwise(sys.argv)]
    end = arguments.index("--") if "--" in arguments else len(arguments)  # behind it nothing is an option
    given = [] if option in arguments[:end] else [option]
    return shlex.join(["growlab", *arguments[:end], *given, *arguments[end:]])


def _without_password(argument: str, before: str) -> str:
    """An argument without its password: of a storage the URL that may be shown, also where a later one replaces it."""
    from growlab.storage.address import read_address

    name, _, value = argument.partition("=") if argument.startswith("--storage=") else (before, "", argument)
    if name != "--storage":
        return argument
    try:
        shown = read_address(value).shown
    except StorageError:
        shown = "URL"
    return shown if value == argument else f"{name}={shown}"
