"""Write a bundle: everything of one trained trial in one folder. Knows no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from growlab import __version__
from growlab.delimited import delimited
from growlab.errors import CheckpointError
from growlab.export.card import model_card
from growlab.export.contents import CARD, CONFIG, METRICS, MODEL, TOKENIZER
from growlab.export.folder import copy_verified, whole_folder
from growlab.export.record import TrialRecord, read_record
from growlab.files import write_atomically
from growlab.headers import read_header
from growlab.preparation.command_lines import speaking_command
from growlab.records import LOSSES, Artifact, Metric
from growlab.storage import Store, StudyRow, TrialRow
from growlab.study.column import trial_spec_to_mapping
from growlab.suggest import command
from growlab.yaml_file import yaml_text

_RESULT = (*LOSSES, "flops", "tokens", "steps", "n_params")
_HEADER = "# One trained trial. Losses are nats per token, depth is in blocks; trial_spec is all that runs it again.\n"
_FILES = {
    CONFIG: "the layout, the result and all that runs the trial again",
    MODEL: "the weights, by parameter name",
    TOKENIZER: "the tokenizer",
    METRICS: "the whole course of training: step, split, name, value",
}


def export_trial(
    store: Store,
    study_row: StudyRow,
    number: int | None,
    artifact_root: Path,
    target: Path,
    *,
    force: bool = False,
) -> Path:
    """Write trial `number`, or with None the best completed one, into the new folder `target`, and return it.

    The folder appears whole or not at all; with `force` in the place of an earlier export. Raises NotFound for no such
    trial and for none that is completed, UsageError for a trial that is not completed and for a target that holds
    something, CheckpointError for a missing or damaged artifact and for a disk that refuses.
    """
    record = read_record(store, study_row, number)
    artifacts = {artifact.kind: artifact for artifact in store.artifacts(record.trial.id)}
    with whole_folder(target, force=force) as folder:
        files = {
            MODEL: _copy(artifacts, "model", record.trial, artifact_root, folder / MODEL),
            TOKENIZER: _copy(artifacts, "tokenizer", record.trial, artifact_root, folder / TOKENIZER),
            METRICS: write_metrics(folder, store.metrics(record.trial.id)),
        }
        header = _model_header(folder / MODEL)
        write_config(folder, record, header["layout"], header["vocab_size"], files)
        speak = command(speaking_command(study_row.study), ".")
        usage = f"In this folder, where growlab {__version__} is installed:\n\n```\n{speak}\n```"
        card = model_card(record, header["layout"], _FILES, library="growlab", usage=usage)
        write_atomically(folder / CARD, card.encode())
    return target


def _copy(artifacts: Mapping[str, Artifact], kind: str, trial: TrialRow, root: Path, target: Path) -> str:
    if kind not in artifacts:
        raise CheckpointError(f"trial {trial.number} has no {kind} on record; export another trial")
    artifact = artifacts[kind]
    copy_verified(root / artifact.path, target, artifact.sha256)
    return artifact.sha256


def _model_header(path: Path) -> dict[str, Any]:
    """Read layout and vocabulary, as the weights themselves say it. Raises CheckpointError where they do not."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = read_header(path, file.metadata())
    except SafetensorError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}; export another trial") from None
    match header:
        case {"layout": str(), "vocab_size": int()}:
            return header
    raise CheckpointError(f"{path.name} is no model of growlab: its header has no layout or no vocab_size")


def write_config(folder: Path, record: TrialRecord, layout: str, vocab_size: int, files: Mapping[str, str]) -> None:
    """Write config.yaml. `layout` is the one at the end, every option written out; `files` the sha256 of the others."""
    trial = record.trial
    config = {
        "growlab": __version__,
        "study": record.study_row.study.name,
        "trial": trial.number,
        "layout": layout,
        "vocab_size": vocab_size,
        "result": {**{name: getattr(trial, name) for name in _RESULT}, "depth": trial.depth_end},
        "growth_events": [asdict(event) for event in record.growth_events],
        "trial_spec": trial_spec_to_mapping(record.spec),
        "files": dict(files),
    }
    write_atomically(folder / CONFIG, (_HEADER + yaml_text(config)).encode())


def write_metrics(folder: Path, metrics: Sequence[Metric]) -> str:
    """Write metrics.csv and return its sha256."""
    names = [field.name for field in fields(Metric)]
    text = delimited(names, ([getattr(metric, name) for name in names] for metric in metrics))
    return write_atomically(folder / METRICS, text.encode())
