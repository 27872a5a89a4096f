"""growlab doctor: can this machine and this database run growlab, and if not, what to do."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from growlab.commands.options import Artifacts, Json, Plugin, Storage, say
from growlab.defaults import STORAGE_DEFAULT
from growlab.doctor.findings import Finding, Status
from growlab.report.terminal import as_it_is, console_for, wrapped

if TYPE_CHECKING:
    from rich.console import Console

_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "warning": ("!", "yellow"),
    "broken": ("✗", "bold red"),
}
# With which advice may end; a line of a shell must not be broken.
_COMMANDS = ("growlab", "pip", "chmod", "mkdir", "fuser", "pg_isready", "createdb", "createuser", "GRANT", "unset")
_NAME = 18  # characters; a longer name pushes its finding to the right
_INDENT = " " * (4 + _NAME)  # of what is found


def doctor(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Also load its corpus: a study's name, a YAML file, a shipped one.")
    ] = "",
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Check versions, devices, database, folders and data, and say what to do about what is wrong.

    Nothing is changed; only a corpus that is loaded enters the cache. Exit code 1 when something is broken.
    """
    from growlab.doctor.checkup import check_up

    findings = check_up(storage, artifacts, study, plugin or [], say)
    if as_json:
        kept = list(findings)
        print(json.dumps([asdict(finding) for finding in kept], indent=2))
    else:
        kept = list(_shown(findings))
        print(_summary(kept))
    if any(finding.status == "broken" for finding in kept):
        raise typer.Exit(1)


def _shown(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Print findings as soon as they are known, and hand them on."""
    console, area = console_for(sys.stdout), ""
    for finding in findings:
        if finding.area != area:
            area = finding.area
            console.print(as_it_is(area, "bold"))
        _print(finding, console)
        yield finding


def _print(finding: Finding, console: "Console") -> None:
    """Print a finding, wrapped beside its name, and advice below it; a command at its end is copied, so kept whole."""
    mark, style = _MARKS[finding.status]
    found = wrapped(f"  {mark} {finding.name:<{_NAME - 1}} ", finding.found, console.width)
    console.print(as_it_is(found[:4], style), as_it_is(found[4:]), sep="", soft_wrap=True)
    if finding.advice:
        console.print(as_it_is(_advice(finding.advice, console.width), "cyan"), soft_wrap=True)


def _advice(text: str, width: int) -> str:
    before = f"{_INDENT}→ "
    if len(before) + len(text) <= width:
        return before + text
    sentence, colon, command = text.rpartition(": ")
    if not colon:  # all of it is a command, or nothing is
        return before + text if _is_command(text) else wrapped(before, text, width)
    if not _is_command(command):
        return wrapped(before, text, width)
    return f"{wrapped(before, f'{sentence}:', width)}\n{' ' * len(before)}{command}"


def _is_command(text: str) -> bool:
    return text.split()[0] in _COMMANDS


def _summary(findings: Sequence[Finding]) -> str:
    n_broken = sum(finding.status == "broken" for finding in findings)
    n_warnings = sum(finding.status == "warning" for finding in findings)
    return f"{n_broken or 'nothing'} broken, {n_warnings or 'nothing'} to look at"
