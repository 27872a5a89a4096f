"""The command line. Data on stdout, messages on stderr; exit 0 ok, 1 failure, 2 usage, 130 interrupted.

Modules here are light: torch, optuna and pandas are imported inside the commands that need them.
"""

import errno
import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from growlab import __version__
from growlab.commands import (
    ablate,
    bench,
    blocks,
    chat,
    data,
    db,
    demo,
    doctor,
    evaluate,
    export,
    generate,
    init,
    report,
    study,
    test,
    train,
    trial,
    worker,
)
from growlab.errors import GrowlabError, UsageError
from growlab.escapes import first_line, quoted, readable
from growlab.files import why_unnameable

app = typer.Typer(
    name="growlab",
    help="Search language-model architectures that grow while they train.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.add_typer(study.app, name="study")
app.add_typer(trial.app, name="trial")
app.command("worker")(worker.worker)
app.command("report")(report.report)
app.command("ablate")(ablate.ablate)
app.command("test")(test.on_test_split)
app.command("export")(export.export)
app.command("eval")(evaluate.evaluate)
app.command("generate")(generate.generate)
app.command("chat")(chat.chat)
app.command("train")(train.train)
app.command("blocks")(blocks.blocks)
app.command("data")(data.data)
app.add_typer(db.app, name="db")
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"growlab {__version__}")
        raise typer.Exit


@app.callback()
def growlab(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback for any error.")] = False,
) -> None:
    """Search language-model architectures that grow while they train."""
    if debug:
        os.environ["GROWLAB_DEBUG"] = "1"  # workers that we start inherit it


def main() -> None:
    """Run the command line and exit."""
    _set_up_streams()
    try:
        _run()
    except BrokenPipeError:  # … | head
        sys.stderr.close()
        os._exit(0)
    except KeyboardInterrupt:
        _leave("interrupted", 130)
    except GrowlabError as error:
        if os.environ.get("GROWLAB_DEBUG"):
            raise
        _leave(f"error: {error}", error.exit_code)
    except Exception as error:
        if os.environ.get("GROWLAB_DEBUG"):
            raise
        too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
        _leave(_unexpected(error), UsageError.exit_code if too_long else 1)


def _set_up_streams() -> None:
    if sys.stdout is None:  # closed, as by >&-: nobody wants to read
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  (until the process ends)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # τ and ✓ on a terminal without them are '?', not an error
            stream.reconfigure(errors="replace")
    asked = "PYTHONIOENCODING" in os.environ
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty() and not asked:
        # a file or a pipe gets every letter, whatever the locale; a byte of a path that is no letter is \udce9
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def _unexpected(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        at = f" for {error.filename}" if error.filename else ""
        return f"error: no space left on the disk{at}; make room and run again"
    if why := why_unnameable(error):
        return f"error: {why}"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"error: {quoted(error.filename)} is too long for the name of a file; give a shorter one"
    kind, reason = type(error).__name__, first_line(str(error))
    return f"error: unexpected {kind}: {reason}\nrun again with growlab --debug … to see where"


def _run() -> None:
    """Run typer, which would leave with 1 where nobody reads on, as rich would for a --help."""
    try:
        app()
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):
            raise leaving.__context__ from None
        if not leaving.code:
            sys.stdout.flush()  # what is still held would only fail as Python ends, with another message and code
        raise


def _leave(message: str, code: int) -> None:
    print(readable(message), file=sys.stderr)
    raise SystemExit(code)
