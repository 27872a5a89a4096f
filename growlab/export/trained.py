"""What a trial's training left: its final model and the tokenizer of its text."""

from pathlib import Path

from growlab.data.tokenizers import Tokenizer, load_tokenizer
from growlab.errors import CheckpointError
from growlab.export.load import load_model
from growlab.export.record import TrialRecord
from growlab.model.language_model import LanguageModel
from growlab.storage import Store
from growlab.training.checkpoint import require_recorded


def read_trained(store: Store, record: TrialRecord, artifact_root: Path) -> tuple[LanguageModel, Tokenizer]:
    """Read both from the trial's artifacts; the model is in eval mode, on the CPU.

    Raises CheckpointError for a file that is not on record, is missing or is another one.
    """
    artifacts = {artifact.kind: artifact for artifact in store.artifacts(record.trial.id)}
    for kind in ("model", "tokenizer"):
        if kind not in artifacts:
            raise CheckpointError(f"trial {record.trial.number} has no {kind} on record; export another trial")
    model, tokenizer = artifacts["model"], artifacts["tokenizer"]
    require_recorded(artifact_root / tokenizer.path, tokenizer.sha256)
    return load_model(artifact_root / model.path, model.sha256), load_tokenizer(artifact_root / tokenizer.path)
