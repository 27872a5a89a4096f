"""The test split, read once for a trial: losses of its final model, on record.

They are metrics of split `test` at the trial's last step, with the time at which they were written, and no search, no
trigger and no ranking reads that split. The second time they are read back, not computed: whoever may look as often
as he likes chooses by what he sees.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.errors import CheckpointError, UsageError
from growlab.preparation.telling import Tell
from growlab.records import READ_AT, TEST, Artifact, TrialState
from growlab.storage import Store, StudyRow, TrialRow

if TYPE_CHECKING:
    from growlab.specs import TrialSpec


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The result of a trial's final model on the test split."""

    study: str
    trial: int
    loss: float  # nats per token, over every token but the first
    bits_per_byte: float | None  # None where the tokenizer does not know its bytes
    accuracy: float | None  # of a synthetic task: the share of right answers
    val_loss: float | None  # beside it; what the trial was ranked by, or its like
    read_at: float  # UTC, seconds since 1970, on the database's clock
    is_first: bool  # computed now; else it was on record

    @property
    def values(self) -> dict[str, float | None]:
        return {"loss": self.loss, "bits_per_byte": self.bits_per_byte, "accuracy": self.accuracy}


def read_held_out(
    store: Store,
    row: StudyRow,
    number: int,
    *,
    storage: str,
    artifact_root: Path,
    paths: Sequence[str] = (),
    device: str = "auto",
    plugins: Sequence[Path] = (),
    tell: Tell,
) -> HeldOut:
    """Read what the test split says of a trial: from its record, or computed now and put on record.

    `paths` say where its texts lie here, as data.path=FILE. Raises NotFound for no such trial, UsageError for one that
    is not completed and for a study without a test split, DataError for another text, CheckpointError for a model that
    is missing or damaged.
    """
    trial = store.trial(row.id, number)
    if recorded := _recorded(store, trial):
        return _held_out(row, trial, recorded, is_first=False)
    if trial.was_told:
        raise UsageError(f"trial {number} was told, not trained: it has no model to test")
    if trial.state is not TrialState.COMPLETED:
        raise UsageError(f"trial {number} is {trial.state}, and only a completed trial has a final model to test")
    if row.study.data.test_fraction == 0:
        raise UsageError(
            f"study {row.study.name!r} has data.test_fraction 0: all of its text was there to be chosen by, "
            "and nothing was kept for a test"
        )
    spec = _spec_here(row, trial, storage, paths, plugins, tell)
    values = _measure(store, trial, spec, artifact_root, device, plugins)
    is_first = store.record_test(trial.id, values)  # False: another process was faster, and its numbers count
    return _held_out(row, trial, _recorded(store, trial), is_first=is_first)


def _recorded(store: Store, trial: TrialRow) -> dict[str, float]:
    return {metric.name: metric.value for metric in store.metrics(trial.id, TEST)}


def _held_out(row: StudyRow, trial: TrialRow, recorded: Mapping[str, float], *, is_first: bool) -> HeldOut:
    return HeldOut(
        study=row.study.name,
        trial=trial.number,
        loss=recorded["loss"],
        bits_per_byte=recorded.get("bits_per_byte"),
        accuracy=recorded.get("accuracy"),
        val_loss=trial.val_loss,
        read_at=recorded[READ_AT],
        is_first=is_first,
    )


def _spec_here(
    row: StudyRow, trial: TrialRow, storage: str, paths: Sequence[str], plugins: Sequence[Path], tell: Tell
) -> "TrialSpec":
    """The trial's spec with the paths at which its texts are found here."""
    from growlab.moved import moves_between, with_moved
    from growlab.preparation.texts import with_texts_here

    here = with_texts_here(row.study, paths, storage, plugins, tell)
    return with_moved(trial.spec, moves_between(row.study, here) or {})


def _measure(
    store: Store, trial: TrialRow, spec: "TrialSpec", artifact_root: Path, device: str, plugins: Sequence[Path]
) -> dict[str, float]:
    """One full pass of the trial's final model over the test split: the code of an evaluation while it trained."""
    from growlab.data import load_corpus
    from growlab.export.load import load_model
    from growlab.plugins import load_plugins
    from growlab.training.device import use_device
    from growlab.training.evaluation import bits_per_byte, evaluate

    load_plugins(plugins)
    on, artifact = use_device(device), _model(store, trial)
    model = load_model(artifact_root / artifact.path, artifact.sha256).to(on)
    corpus = load_corpus(spec.data, spec.curriculum)
    train = spec.train
    found = evaluate(
        model, corpus.test, seq_len=train.seq_len, batch_size=train.batch_size, precision=train.precision, device=on
    )
    values = {"loss": found.loss}
    if not math.isnan(corpus.test_bytes_per_token):
        values["bits_per_byte"] = bits_per_byte(found.loss, corpus.test_bytes_per_token)
    return values if found.accuracy is None else {**values, "accuracy": found.accuracy}


def _model(store: Store, trial: TrialRow) -> Artifact:
    """The artifact of the trial's final model. Raises CheckpointError."""
    for artifact in store.artifacts(trial.id):
        if artifact.kind == "model":
            return artifact
    raise CheckpointError(f"trial {trial.number} has no model on record; test another trial")
