"""growlab doctor: can this machine and this database run growlab, and if not, what to do."""

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from growlab.commands.checkup.findings import Finding, Status, guarded
from growlab.commands.options import STORAGE_DEFAULT, Artifacts, Json, Plugin, Storage
from growlab.report.terminal import as_it_is, console_for

if TYPE_CHECKING:
    from rich.console import Console

_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "warning": ("!", "yellow"),
    "broken": ("✗", "bold red"),
}
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
    findings = _findings(storage, artifacts, study, plugin or [])
    if as_json:
        kept = list(findings)
        print(json.dumps([asdict(each) for each in kept], indent=2))
    else:
        kept = list(_shown(findings))
        print(_summary(kept))
    if any(each.status == "broken" for each in kept):
        raise typer.Exit(1)


def _findings(storage: str, artifacts: Path | None, study: str, plugins: Sequence[Path]) -> Iterator[Finding]:
    from growlab.commands.checkup.data import check_stdlib, check_study, check_tiny_shakespeare
    from growlab.commands.checkup.devices import check_devices
    from growlab.commands.checkup.folders import check_artifacts, check_cache
    from growlab.commands.checkup.storage import check_storage
    from growlab.commands.checkup.versions import check_plugins, check_versions

    yield from guarded("versions", "packages", check_versions())
    yield from guarded("versions", "plugins", check_plugins(plugins))
    yield from guarded("devices", "devices", check_devices())
    yield from guarded("storage", "database", check_storage(storage))
    yield from guarded("folders", "artifacts", check_artifacts(storage, artifacts))
    yield from guarded("folders", "cache", check_cache())
    yield from guarded("data", "stdlib", check_stdlib())
    yield from guarded("data", "tiny-shakespeare", check_tiny_shakespeare())
    if study:
        yield from guarded("study", "corpus", check_study(study, storage))


def _shown(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Each is printed as soon as it is known: some checks wait for a server."""
    console, area = console_for(sys.stdout), ""
    for finding in findings:
        if finding.area != area:
            area = finding.area
            console.print(as_it_is(area, "bold"))
        _print(finding, console)
        yield finding


def _print(finding: Finding, console: "Console") -> None:
    """What is found is wrapped beside its name. Advice is one line however long: it holds commands to be copied."""
    mark, style = _MARKS[finding.status]
    lines = textwrap.wrap(
        f"{finding.name:<{_NAME - 1}} {finding.found}",
        width=console.width - 4,
        subsequent_indent=_INDENT[4:],
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print(as_it_is(f"  {mark} ", style), as_it_is("\n    ".join(lines)), sep="", soft_wrap=True)
    if finding.advice:
        console.print(as_it_is(f"{_INDENT}→ {finding.advice}", "cyan"), soft_wrap=True)


def _summary(findings: Sequence[Finding]) -> str:
    n_broken = sum(each.status == "broken" for each in findings)
    n_warnings = sum(each.status == "warning" for each in findings)
    return f"{n_broken or 'nothing'} broken, {n_warnings or 'nothing'} to look at"
