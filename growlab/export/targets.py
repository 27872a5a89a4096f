"""What a trial can be exported as, and a whole front as that."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from growlab.errors import UnknownName, UsageError
from growlab.export.bundle import export_trial
from growlab.export.contents import FRONT_FOLDER
from growlab.export.folder import whole_folder
from growlab.packages import install_command
from growlab.storage import Store, StudyRow

TARGETS = ("growlab", "hf")

Exporter = Callable[..., Path]  # as bundle.export_trial


def exporter(to: str, plugins: Sequence[Path] = ()) -> Exporter:
    """What writes a trial for growlab itself, or for transformers: `hf`.

    Raises UnknownName, and UsageError with the command that installs it where a package is missing.
    """
    if to not in TARGETS:
        raise UnknownName("target of an export", to, TARGETS)
    if to == "growlab":
        return export_trial
    for package in ("transformers", "tokenizers"):
        if find_spec(package) is None:
            raise UsageError(f"--to hf needs the package {package!r}; run: {install_command('transformers')}")
    from growlab.export.huggingface.trial_folder import export_trial as export_for_transformers

    return partial(export_for_transformers, plugins=plugins)


def export_front(
    store: Store,
    study_row: StudyRow,
    numbers: Sequence[int],
    artifact_root: Path,
    target: Path,
    *,
    export: Exporter = export_trial,
    force: bool = False,
) -> list[Path]:
    """Write each of these trials by `export` into trial-NUMBER of the new folder `target`; return those.

    All of them appear or none. Raises what that raises, also for a trial that was told.
    """
    with whole_folder(target, force=force) as folder:
        for number in numbers:
            export(store, study_row, number, artifact_root, folder / FRONT_FOLDER.format(number))
    return [target / FRONT_FOLDER.format(number) for number in numbers]
