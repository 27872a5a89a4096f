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

TARGETS: dict[str, tuple[str, ...]] = {  # and the packages that each needs, beside what growlab itself does
    "growlab": (),
    "hf": ("transformers", "tokenizers"),
    "onnx": ("onnx", "onnxscript", "onnxruntime", "tokenizers"),
    "torch-export": ("tokenizers",),
}

Exporter = Callable[..., Path]  # as bundle.export_trial


def exporter(to: str, plugins: Sequence[Path] = ()) -> Exporter:
    """What writes a trial for growlab itself, for transformers (`hf`), or as one program (`onnx`, `torch-export`).

    Raises UnknownName, and UsageError with the command that installs it where a package is missing.
    """
    if to not in TARGETS:
        raise UnknownName("target of an export", to, TARGETS)
    if to == "growlab":
        return export_trial
    for package in TARGETS[to]:
        if find_spec(package) is None:
            raise UsageError(f"--to {to} needs the package {package!r}; run: {install_command(package)}")
    if to == "hf":
        from growlab.export.huggingface.trial_folder import export_trial as export_for_transformers

        return partial(export_for_transformers, plugins=plugins)
    from growlab.export.programs.trial_folder import export_trial as export_program

    return partial(export_program, to=to, plugins=plugins)


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
