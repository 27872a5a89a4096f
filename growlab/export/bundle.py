"""Write a bundle: everything of one trained trial in one folder. Knows no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from growlab import __version__
from growlab.delimited import delimited
from growlab.errors import CheckpointError, UsageError
from growlab.export.contents import CONFIG, METRICS, MODEL, TOKENIZER
from growlab.export.folder import copy_verified, whole_folder
from growlab.export.ranking import best_trials
from growlab.files import write_atomically
from growlab.headers import read_header
from growlab.records import LOSSES, Artifact, Metric, TrialState
from growlab.storage import Store, StudyRow, TrialRow
from growlab.study.column import trial_spec_to_mapping
from growlab.yaml_file import yaml_text

_RESULT = (*LOSSES, "flops", "tokens", "steps", "n_params")
_FOLDER = "trial-{}"  # of a front
_HEADER = "# One trained trial. Losses are nats per token, depth is in blocks; trial_spec is all that runs it again.\n"


def export_trial(store: Store, study_row: StudyRow, number: int | None, artifact_root: Path, target: Path) -> Path:
    """Write trial `number`, or with None the best completed one, into the new folder `target`, and return it.

    The folder appears whole or not at all. Raises NotFound for no such trial and for none that is completed,
    UsageError for a trial that is not completed and for a target that holds something, CheckpointError for a
    missing or damaged artifact and for a disk that refuses.
    """
    trial = _chosen(store, study_row, number)
    artifacts = {artifact.kind: artifact for artifact in store.artifacts(trial.id)}
    with whole_folder(target) as folder:
        files = {
            MODEL: _copy(artifacts, "model", trial, artifact_root, folder / MODEL),
            TOKENIZER: _copy(artifacts, "tokenizer", trial, artifact_root, folder / TOKENIZER),
            METRICS: write_atomically(folder / METRICS, _as_csv(store.metrics(trial.id)).encode()),
        }
        config = _config(store, study_row, trial, _model_header(folder / MODEL), files)
        write_atomically(folder / CONFIG, (_HEADER + yaml_text(config)).encode())
    return target


def export_front(
    store: Store, study_row: StudyRow, numbers: Sequence[int], artifact_root: Path, target: Path
) -> list[Path]:
    """Write each of these trials as export_trial does, into trial-NUMBER of the new folder `target`; return those.

    All of them appear or none. Raises what export_trial raises, also for a trial that was told.
    """
    with whole_folder(target) as folder:
        for number in numbers:
            export_trial(store, study_row, number, artifact_root, folder / _FOLDER.format(number))
    return [target / _FOLDER.format(number) for number in numbers]


def _chosen(store: Store, study_row: StudyRow, number: int | None) -> TrialRow:
    if number is not None:
        trial = store.trial(study_row.id, number)
        if trial.was_told:
            raise UsageError(f"trial {number} was told, not trained: it has no model to export")
        if trial.state is not TrialState.COMPLETED:
            raise UsageError(f"trial {number} is {trial.state}, and only a completed trial has a model to export")
        return trial
    return best_trials(store, study_row)[0]


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


def _config(
    store: Store, study_row: StudyRow, trial: TrialRow, header: Mapping[str, Any], files: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "growlab": __version__,
        "study": study_row.study.name,
        "trial": trial.number,
        "layout": header["layout"],  # at the end, every option written out
        "vocab_size": header["vocab_size"],
        "result": {**{name: getattr(trial, name) for name in _RESULT}, "depth": trial.depth_end},
        "growth_events": [asdict(event) for event in store.growth_events(trial.id)],
        "trial_spec": trial_spec_to_mapping(trial.spec),
        "files": dict(files),
    }


def _as_csv(metrics: Sequence[Metric]) -> str:
    names = [field.name for field in fields(Metric)]
    return delimited(names, ([getattr(metric, name) for name in names] for metric in metrics))
