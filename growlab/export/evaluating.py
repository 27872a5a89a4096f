"""An exported model on a text that it has not seen, and on synthetic tasks: one full pass, no database."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from growlab.data.corpus import Split
from growlab.data.folders import os_errors_named
from growlab.data.markers import ChatTokenizer
from growlab.data.sources import SOURCES, QaSource, TaskSource, TextSource, TokenSource
from growlab.data.tasks import Stream, TaskSplit
from growlab.data.texts import Text, kept_ids, read_digest
from growlab.data.token_files import checked, read_token_files
from growlab.data.tokenizers import IdTokenizer
from growlab.data.tokens import Ids
from growlab.data.turns import TurnSplit
from growlab.errors import CannotEncode, DataError, SpecError, UsageError
from growlab.export.contents import CONFIG
from growlab.export.load import Bundle, ready_bundle
from growlab.scalar import with_defaults
from growlab.specs import DataSpec, TrainSpec, TrialSpec
from growlab.study.column import trial_spec_from_words
from growlab.training.evaluation import Evaluation, bits_per_byte, evaluate

_SUFFIXES = {".jsonl": "jsonl", ".parquet": "parquet", ".bin": "bin"}
_FROM_FILES = ("text", "jsonl", "parquet", "bin", "qa")  # sources that a file of the user's may be of


@dataclass(frozen=True, kw_only=True)
class OnText:
    """What a full pass over a text came to. Of questions and answers all figures are of the answers alone."""

    data: str
    loss: float  # nats per token
    perplexity: float  # e to the loss
    bits_per_byte: float | None  # None where the tokenizer does not know its bytes
    n_tokens: int  # that were predicted
    n_bytes: int | None  # that they stand for


@dataclass(frozen=True, kw_only=True)
class OnTask:
    """The share of a synthetic task's answers that the model had right."""

    task: str
    n_items: int
    length: int  # tokens of a sequence
    accuracy: float
    chance: float  # of a guess among all values
    loss: float  # nats per answer


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    folder: str
    text: OnText | None
    tasks: tuple[OnTask, ...]

    def as_mapping(self) -> dict[str, Any]:
        return asdict(self)


def evaluate_bundle(
    folder: Path,
    data: str,
    *,
    column: str = "",
    n_items: Mapping[str, int],
    batch_size: int = 0,
    device: str = "auto",
    plugins: Sequence[Path] = (),
) -> Evaluated:
    """Evaluate an exported model on the whole text at `data`, unless that is '', and on tasks.

    The text is read as the model's own corpus was, or as its suffix says; `column` is that of a table. `n_items` says
    of `recall` and `needle` how many pairs a sequence has. Windows are as long as in training, `batch_size` of them at
    once, 0: as many as in training. Raises UsageError where nothing is asked, DataError for a text that is missing,
    too short or has characters that the model does not know.
    """
    if not data and not n_items:
        raise UsageError("say what to evaluate on: --data FILE, --recall N or --needle N")
    bundle = ready_bundle(folder, device, plugins=plugins)
    spec = _trained(bundle, folder)
    train = replace(spec.train, batch_size=batch_size or spec.train.batch_size)
    try:
        text = _on_text(bundle, _data_spec(spec.data, data, column), train) if data else None
    except DataError as error:
        raise DataError(str(error).replace("check data.path", "check --data")) from None
    tasks = tuple(_on_task(bundle, task, n, train) for task, n in n_items.items())
    return Evaluated(folder=str(folder), text=text, tasks=tasks)


def _trained(bundle: Bundle, folder: Path) -> TrialSpec:
    """The spec that the model was trained with. Raises SpecError."""
    raw = bundle.config.get("trial_spec")
    if not isinstance(raw, dict):
        raise SpecError(f"{folder / CONFIG}: has no trial_spec; export the trial again")
    try:
        return trial_spec_from_words(raw)
    except SpecError as error:
        raise SpecError(f"{folder / CONFIG}: {error}") from None


def _data_spec(trained: DataSpec, path: str, column: str) -> DataSpec:
    """How a file is read: as the model's corpus was, where that was a file of this sort; else as its suffix says."""
    source = trained.source if trained.source in _FROM_FILES else "text"
    if source != "qa":
        source = _SUFFIXES.get(Path(path).suffix.lower(), source if Path(path).is_dir() else "text")
    ids = {"tokenizer": "ids", "vocab_size": 2} if source == "bin" else {}
    return with_defaults(
        DataSpec, source=source, path=path, column=column or trained.column, dtype=trained.dtype, **ids
    )


# ---- a text ------------------------------------------------------------------------------------------------------


def _on_text(bundle: Bundle, spec: DataSpec, train: TrainSpec) -> OnText:
    split = _read_whole(bundle, spec)
    n_tokens, n_bytes = _predicted(bundle, split)
    if n_tokens < 1:
        raise DataError(f"{spec.path}: has no token that could be predicted; give a longer text")
    found = _evaluated(bundle, split, train)
    bits = None if n_bytes is None else bits_per_byte(found.loss, n_bytes / n_tokens)
    return OnText(
        data=spec.path,
        loss=found.loss,
        perplexity=math.exp(found.loss),
        bits_per_byte=bits,
        n_tokens=n_tokens,
        n_bytes=n_bytes,
    )


def _read_whole(bundle: Bundle, spec: DataSpec) -> Ids | TurnSplit:
    """All tokens of a text as one split. Raises DataError, also for what the model's tokenizer cannot encode."""
    source, tokenizer = SOURCES[spec.source], bundle.tokenizer
    with os_errors_named(source.label(spec.path)):
        match source:
            case QaSource():
                assert isinstance(tokenizer, ChatTokenizer), "a model of questions and answers has their tokenizer"
                try:
                    return TurnSplit.of(source.pairs(spec).pairs, tokenizer)
                except CannotEncode as error:
                    raise DataError(f"{source.label(spec.path)}: {error}") from None
            case TokenSource():
                files = read_token_files(source.files(spec.path), spec.dtype)
                checked(files, tokenizer.vocab_size)
                return np.concatenate([ids for file in files for ids in file.pieces()])
            case TextSource() if isinstance(tokenizer, IdTokenizer):
                raise UsageError(
                    f"{spec.path}: is text, and this model knows bare ids alone; give a .bin of its ids, or --recall N"
                )
            case TextSource():
                digest = read_digest(source, spec)
                text = Text(source=source, spec=spec, digest=digest, cuts=(digest.n_chars, digest.n_chars))
                return kept_ids(text, tokenizer, shared=True)
    raise AssertionError(spec.source)


def _predicted(bundle: Bundle, split: Ids | TurnSplit) -> tuple[int, int | None]:
    """Count the tokens that a pass predicts, and their bytes; None where the tokenizer does not know them."""
    ids = split.ids[split.are_answers] if isinstance(split, TurnSplit) else split[1:]
    return ids.size, None if isinstance(bundle.tokenizer, IdTokenizer) else bundle.tokenizer.n_bytes(ids)


def _evaluated(bundle: Bundle, split: Split, train: TrainSpec) -> Evaluation:
    return evaluate(
        bundle.model,
        split,
        seq_len=train.seq_len,
        batch_size=train.batch_size,
        precision=train.precision,
        device=bundle.model.embedding.weight.device,
    )


# ---- a task ------------------------------------------------------------------------------------------------------


def _on_task(bundle: Bundle, name: str, n_items: int, train: TrainSpec) -> OnTask:
    """Let the model recall values of pairs that it was shown, in sequences as long as in training, or as they must be.

    Keys and values are tokens of its vocabulary, the markers of a chat among none of them.
    """
    source, tokenizer = SOURCES[name], bundle.tokenizer
    assert isinstance(source, TaskSource)
    vocab_size = tokenizer.text.vocab_size if isinstance(tokenizer, ChatTokenizer) else tokenizer.vocab_size
    try:
        task = source.task(vocab_size, n_items)
    except SpecError as error:
        message = str(error).replace("data.n_items", f"--{name}").replace("data.vocab_size", "a vocabulary")
        raise UsageError(message) from None
    seq_len = max(train.seq_len, task.shortest - 1)
    found = _evaluated(bundle, TaskSplit(task, Stream.TEST), replace(train, seq_len=seq_len))
    assert found.accuracy is not None
    return OnTask(
        task=name,
        n_items=n_items,
        length=seq_len + 1,
        accuracy=found.accuracy,
        chance=1 / task.n_values,
        loss=found.loss,
    )
