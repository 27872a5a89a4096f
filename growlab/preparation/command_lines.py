"""Options by which another process finds the same database, files, plugins and texts."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from growlab.study import Study


def place_options(storage: str, plugins: Sequence[Path] = (), artifacts: Path | None = None) -> list[str]:
    """Options for the database, the artifact folder and the plugins, as far as another command needs to be told."""
    from growlab.storage.address import read_address

    options = [*read_address(storage).options]
    if artifacts is not None and str(artifacts) != os.environ.get("GROWLAB_ARTIFACTS"):
        options += ["--artifacts", str(artifacts)]
    return [*options, *plugin_options(plugins)]


def unusual_options(options: Mapping[str, object], deterministic: bool) -> list[str]:
    """The options on which a trial's place and bits depend, without those whose value is False or 0, the usual ones."""
    given = [part for name, value in options.items() if value for part in (name, str(value))]
    return [*given, *(["--deterministic"] if deterministic else [])]


def plugin_options(files: Sequence[Path]) -> list[str]:
    """Options `--plugin FILE` for each file."""
    return [part for file in files for part in ("--plugin", str(file))]


def path_options(recorded: "Study", here: "Study") -> list[str]:
    """Options `--set KEY=PATH` for each text of a stored study that lies elsewhere than where it was recorded."""
    from growlab.moved import paths_of

    before, after = paths_of(recorded.data, recorded.curriculum), paths_of(here.data, here.curriculum)
    return [part for key in before if after[key] != before[key] for part in ("--set", f"{key}={after[key]}")]


def speaking_command(study: "Study") -> str:
    """The command that lets a model of this study speak: chat, where it was trained on questions, else generate."""
    return "chat" if study.data.source == "qa" else "generate"
