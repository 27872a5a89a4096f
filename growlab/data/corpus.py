"""A DataSpec becomes three splits of token ids: memory-mapped, or made as they are read for a synthetic task.

    0 ................ n_train ......... n_train + n_val ......... n
    │      train       │      val        │         test          │

Splits are by position: `test` is the end of the text, `val` the end of what is before it. Positions are
counted in tokens for char, byte and ids. For bpe and file they are counted in characters and each split is
encoded by itself, so that val is the same text as under char, and nothing of it shaped the tokens.

A curriculum has a text of its own for some of its stages. All of it is trained on; val and test are never of it, and
one tokenizer encodes them all.
Of questions and answers val and test are the last questions in the order of a hash, each with all its answers.

How a text gets into the cache is in texts.py.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from growlab.data.cache import keep, kept
from growlab.data.folders import os_errors_named
from growlab.data.qa import by_question, sha256_of_pairs
from growlab.data.recorded import named, require_recorded, require_stage, require_val, stage_named, unread_notes
from growlab.data.sources import SOURCES, QaSource, Source, TaskSource, TextSource, TokenSource
from growlab.data.tasks import Stream, TaskSplit, sha256_of_task
from growlab.data.texts import Text, kept_ids, kept_splits, read_digest, tokenizer_for
from growlab.data.token_files import TokenFile, checked, header_note, read_token_files
from growlab.data.tokenizers import IdTokenizer, recorded_tokenizer
from growlab.data.tokens import Ids, Tokenizer
from growlab.data.turns import TurnSplit, require_turns, tokenizer_of_pairs
from growlab.errors import CannotEncode, DataError, SpecError
from growlab.specs import DataSpec, StageSpec

VAL = -1  # among texts by the stages that read them, that of val
_IDS = 1 << 20  # that are counted at once

Split = Ids | TurnSplit | TaskSplit


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    train: Split  # the corpus's own where the stage has no text
    sha256: str  # what a study records of its text; "" there


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """The texts or tasks of a trial as splits of token ids; those of a text are 1-D, read-only and memory-mapped.

    Bytes per token are UTF-8 bytes over tokens, both of all tokens but the first, which nothing
    predicts: bits per byte = nats per token / ln 2 / bytes per token. 0.0 for a split that
    predicts nothing; nan where no tokenizer says what the ids stand for. Of questions and answers
    they are the bytes of the answers, over their tokens and ends.
    """

    train: Split
    val: Split
    test: Split
    tokenizer: Tokenizer
    val_bytes_per_token: float
    test_bytes_per_token: float
    sha256: str  # what a study records of it
    tokenizer_sha256: str  # likewise; "" where the text alone determines the tokenizer
    label: str  # what a message calls it
    dtype: str  # what a study records of its token files
    notes: tuple[str, ...]  # what was passed over while it was read, a line each
    stages: tuple[Stage, ...]  # of the curriculum
    val_sha256: str = ""  # what a study records of a text of its own for val

    def training(self, stage: int) -> Split:
        """The split that a stage trains on; without a curriculum there is one, of the train split."""
        return self.stages[stage].train if self.stages else self.train


def load_corpus(spec: DataSpec, curriculum: Sequence[StageSpec] = ()) -> Corpus:
    """Load the splits of the recorded corpus.

    Raises DataError when it is missing or is another one, SpecError and UnknownName for a data section that makes no
    sense.

    It is read and hashed at every load, cached ids or not. A modification time would be
    cheaper and wrong: copies and restored backups keep theirs. That costs about five seconds per
    gigabyte of text, twenty of JSON lines.
    """
    found = SOURCES[spec.source]
    with os_errors_named(found.label(spec.path)):
        match found:
            case TextSource() as source:
                return _text_corpus(source, spec, curriculum)
            case TokenSource() as source:
                return _token_corpus(source, spec, curriculum)
            case TaskSource() as source:
                return _task_corpus(source, spec, curriculum)
            case QaSource() as source:
                return _qa_corpus(source, spec, curriculum)
    raise AssertionError(spec.source)


def require_windows(corpus: Corpus, seq_len: int) -> None:
    """Raise DataError unless each split holds a window of seq_len + 1 tokens, for a synthetic task SpecError.

    An empty test split is allowed.
    """
    splits = [
        ("train", corpus.train, "lower data.val_fraction or data.test_fraction"),
        ("val", corpus.val, "raise data.val_fraction"),
        ("test", corpus.test, "raise data.test_fraction or set it to 0"),
        *((f"curriculum[{at}]", stage.train, "leave the stage out") for at, stage in enumerate(corpus.stages)),
    ]
    for name, split, remedy in splits:
        if isinstance(split, TaskSplit):
            _require_room(split, seq_len)
        elif isinstance(split, TurnSplit):
            require_turns(split, name, seq_len, corpus.label, remedy)
        elif split.size <= seq_len and (split.size or name != "test"):
            raise DataError(
                f"{corpus.label}: the {name} split has {split.size} tokens, "
                f"train.seq_len {seq_len} needs at least {seq_len + 1}; "
                f"lower train.seq_len, {remedy}, or give a longer text"
            )


def recorded_curriculum(curriculum: Sequence[StageSpec], corpus: Corpus) -> tuple[StageSpec, ...]:
    """Fill in the hashes of the texts that were loaded for a curriculum."""
    return tuple(replace(spec, sha256=stage.sha256) for spec, stage in zip(curriculum, corpus.stages, strict=True))


def list_sources() -> list[tuple[str, str]]:
    """Name and one-line summary of every source, by name."""
    return [(name, source.summary) for name, source in SOURCES.items()]


# ---- a text --------------------------------------------------------------------------------------------------


def _text_corpus(source: TextSource, spec: DataSpec, curriculum: Sequence[StageSpec]) -> Corpus:
    digest = read_digest(source, spec)
    require_recorded(source, spec, digest.sha256)
    test_from = _without_last(spec.test_fraction, digest.n_chars)
    text = Text(source=source, spec=spec, digest=digest, cuts=(_val_from(spec, test_from), test_from))
    others = {at: _stage_text(text, at, stage) for at, stage in enumerate(curriculum) if stage.path}
    if spec.val_path:
        others[VAL] = _val_text(text)
    tokenizer, tokenizer_sha256 = tokenizer_for(text, list(others.values()))
    if tokenizer_sha256:
        splits = _with_val(spec, kept_splits(text, tokenizer, tokenizer_sha256))
        ids = {at: kept_splits(text, tokenizer, tokenizer_sha256)[0] for at, text in others.items()}
    else:
        shared = spec.tokenizer == "char" and len(others) > 0
        splits = _by_position(spec, kept_ids(text, tokenizer, shared=shared))
        ids = {at: kept_ids(text, tokenizer, shared=shared) for at, text in others.items()}
    if spec.val_path:
        splits = _with_val(spec, (splits[0], ids.pop(VAL), splits[2]))
    val_sha256 = others.pop(VAL).digest.sha256 if spec.val_path else ""
    found = {at: Stage(train=ids[at], sha256=text.digest.sha256) for at, text in others.items()}
    stages = _stages(curriculum, found, splits[0])
    corpus = _corpus(source, spec, curriculum, splits, tokenizer, digest.sha256, tokenizer_sha256, stages)
    notes = [source.passed_over(replace(spec, path=path)) for path in (spec.path, spec.val_path) if path]
    return replace(corpus, val_sha256=val_sha256, notes=(*corpus.notes, *filter(None, notes)))


def _val_text(main: Text) -> Text:
    """Read the text that data.val_path names, the whole of which is for validation."""
    spec = replace(main.spec, path=main.spec.val_path)
    with named("data.val_path", "data.val_path", main.source.label(spec.path)):
        digest = read_digest(main.source, spec)
    require_val(main.spec, digest.sha256, main.digest.sha256)
    return Text(source=main.source, spec=spec, digest=digest, cuts=(digest.n_chars, digest.n_chars))


def _stage_text(main: Text, at: int, stage: StageSpec) -> Text:
    """Read the text of a stage, the whole of which is for training."""
    spec = replace(main.spec, path=stage.path, sha256=stage.sha256)
    with stage_named(at, main.source.label(stage.path)):
        digest = read_digest(main.source, spec)
        require_stage(main.source, stage, digest.sha256, main.digest.sha256)
    return Text(source=main.source, spec=spec, digest=digest, cuts=(digest.n_chars, digest.n_chars))


# ---- token ids -----------------------------------------------------------------------------------------------


def _token_corpus(source: TokenSource, spec: DataSpec, curriculum: Sequence[StageSpec]) -> Corpus:
    tokenizer, tokenizer_sha256 = _tokenizer_of_ids(spec)
    files = read_token_files(source.files(spec.path), spec.dtype)
    ids, sha256 = _joined_ids(files, tokenizer.vocab_size)
    require_recorded(source, spec, sha256)
    found = {}
    for at, stage in enumerate(curriculum):
        if stage.path:
            with stage_named(at, source.label(stage.path)):
                files_of_stage = read_token_files(source.files(stage.path), spec.dtype)
                of_stage, sha256_of_stage = _joined_ids(files_of_stage, tokenizer.vocab_size)
                require_stage(source, stage, sha256_of_stage, sha256)
            files += files_of_stage
            found[at] = Stage(train=of_stage, sha256=sha256_of_stage)
    splits, val_sha256 = _by_position(spec, ids), ""
    if spec.val_path:
        with named("data.val_path", "data.val_path", source.label(spec.val_path)):
            files_of_val = read_token_files(source.files(spec.val_path), spec.dtype)
            of_val, val_sha256 = _joined_ids(files_of_val, tokenizer.vocab_size)
        require_val(spec, val_sha256, sha256)
        splits = _with_val(spec, (splits[0], of_val, splits[2]))
    stages = _stages(curriculum, found, splits[0])
    corpus = _corpus(source, spec, curriculum, splits, tokenizer, sha256, tokenizer_sha256, stages)
    corpus = replace(corpus, val_sha256=val_sha256)
    if header := header_note(files):  # it says the width at each load: there is none to be recorded
        return replace(corpus, dtype=spec.dtype, notes=(*corpus.notes, header))
    return corpus


def _joined_ids(files: Sequence[TokenFile], vocab_size: int) -> tuple[Ids, str]:
    """Map the ids of one file where it lies, or join those of several in the cache; return them with their sha256."""
    sha256 = checked(files, vocab_size)
    if len(files) == 1:
        return files[0].mapped(), sha256
    pieces = (ids.data for file in files for ids in file.pieces())
    entry = kept(name := f"{sha256}-bin.ids") or keep(name, pieces, {})
    return np.memmap(entry.path, dtype=files[0].dtype, mode="r"), sha256


def _tokenizer_of_ids(spec: DataSpec) -> tuple[Tokenizer, str]:
    if spec.tokenizer == "ids":
        return IdTokenizer(spec.vocab_size), ""
    if spec.tokenizer == "file":
        return recorded_tokenizer(spec)
    raise SpecError(
        f"source {spec.source!r} holds token ids, data.tokenizer {spec.tokenizer!r} did not make them; "
        "use data.tokenizer: file with data.tokenizer_path, or data.tokenizer: ids with data.vocab_size"
    )


# ---- a synthetic task ----------------------------------------------------------------------------------------


def _task_corpus(source: TaskSource, spec: DataSpec, curriculum: Sequence[StageSpec]) -> Corpus:
    """Load a synthetic task, of which data.val_fraction and data.test_fraction say nothing."""
    if spec.tokenizer != "ids" or spec.path:
        raise SpecError(
            f"source {spec.source!r} makes token ids from a seed; set data.tokenizer: ids, data.vocab_size and "
            f"data.n_items, and no data.path (got tokenizer {spec.tokenizer!r}, path {spec.path!r})"
        )
    if spec.val_path:
        raise SpecError(f"data.val_path: source {spec.source!r} makes its own validation sequences; leave it out")
    if spec.train_on_val:
        raise SpecError(f"data.train_on_val: source {spec.source!r} makes as many training sequences as are asked for")
    _require_no_stage_texts(spec, curriculum, "has none")
    task = source.task(spec.vocab_size, spec.n_items)
    sha256 = sha256_of_task(source.name, task)
    require_recorded(source, spec, sha256)
    train, val, test = (TaskSplit(task, stream) for stream in Stream)
    stages = _stages(curriculum, {}, train)
    return _corpus(source, spec, (), (train, val, test), IdTokenizer(spec.vocab_size), sha256, "", stages)


def _require_no_stage_texts(spec: DataSpec, curriculum: Sequence[StageSpec], why: str) -> None:
    for at, stage in enumerate(curriculum):
        if stage.path:
            raise SpecError(f"curriculum[{at}].path: source {spec.source!r} {why}; leave it out, got {stage.path!r}")


def _require_room(split: TaskSplit, seq_len: int) -> None:
    if seq_len + 1 < split.task.shortest:
        raise SpecError(
            f"data.n_items {split.task.n_items} of this task needs train.seq_len of at least "
            f"{split.task.shortest - 1}, got {seq_len}; raise it, or lower data.n_items"
        )


# ---- questions and answers -----------------------------------------------------------------------------------


def _qa_corpus(source: QaSource, spec: DataSpec, curriculum: Sequence[StageSpec]) -> Corpus:
    """Load questions and answers, held in memory, other than a text.

    Stages may differ in plasticity, not in what is read.
    """
    _require_no_stage_texts(spec, curriculum, "has the same questions in every stage")
    (pairs, notes), label = source.pairs(spec), source.label(spec.path)
    sha256 = sha256_of_pairs(pairs)
    require_recorded(source, spec, sha256)
    questions = by_question(pairs)
    test_from = _without_last(spec.test_fraction, len(questions))
    val_from = _val_from(spec, test_from)
    parts = (questions[:val_from], questions[val_from:test_from], questions[test_from:])
    train, val, test = ([pair for answers in part for pair in answers] for part in parts)
    val_sha256 = ""
    if spec.val_path:
        with named("data.val_path", "data.val_path", source.label(spec.val_path)):
            val, more = source.pairs(replace(spec, path=spec.val_path))
        val_sha256, notes = sha256_of_pairs(val), (*notes, *more)
        require_val(spec, val_sha256, sha256)
    tokenizer, tokenizer_sha256 = tokenizer_of_pairs(spec, [*pairs, *(val if spec.val_path else [])], train)
    train += val if spec.train_on_val else []
    try:
        splits = (TurnSplit.of(train, tokenizer), TurnSplit.of(val, tokenizer), TurnSplit.of(test, tokenizer))
    except CannotEncode as error:
        raise DataError(f"{label}: {error}") from None
    stages = _stages(curriculum, {}, splits[0])
    corpus = _corpus(source, spec, (), splits, tokenizer, sha256, tokenizer_sha256, stages)
    return replace(corpus, val_sha256=val_sha256, notes=(*corpus.notes, *notes))


# ---- all of them ---------------------------------------------------------------------------------------------


def _corpus(
    source: Source,
    spec: DataSpec,
    curriculum: Sequence[StageSpec],
    splits: tuple[Split, Split, Split],
    tokenizer: Tokenizer,
    sha256: str,
    tokenizer_sha256: str,
    stages: tuple[Stage, ...],
) -> Corpus:
    train, val, test = splits
    return Corpus(
        train=train,
        val=val,
        test=test,
        tokenizer=tokenizer,
        val_bytes_per_token=_bytes_per_token(tokenizer, val),
        test_bytes_per_token=_bytes_per_token(tokenizer, test),
        sha256=sha256,
        tokenizer_sha256=tokenizer_sha256,
        label=source.label(spec.path),
        dtype="uint16" if spec.dtype == "auto" else spec.dtype,  # so that no rule decides it again
        notes=unread_notes(source, [spec.path, spec.val_path, *(stage.path for stage in curriculum)]),
        stages=stages,
    )


def _stages(curriculum: Sequence[StageSpec], found: Mapping[int, Stage], train: Split) -> tuple[Stage, ...]:
    own = Stage(train=train, sha256="")
    return tuple(found.get(at, own) for at in range(len(curriculum)))


def _by_position(spec: DataSpec, ids: Ids) -> tuple[Ids, Ids, Ids]:
    test_from = _without_last(spec.test_fraction, ids.size)
    val_from = _val_from(spec, test_from)
    train_to = test_from if spec.train_on_val else val_from
    return ids[:train_to], ids[val_from:test_from], ids[test_from:]


def _val_from(spec: DataSpec, test_from: int) -> int:
    """The place from which on val is, before that of test; there is no val in a text where another one is for that."""
    return test_from if spec.val_path else _without_last(spec.val_fraction, test_from)


def _with_val(spec: DataSpec, splits: tuple[Ids, Ids, Ids]) -> tuple[Ids, Ids, Ids]:
    """The splits of a text that was encoded split by split; its val split in train as well where the spec says so."""
    train, val, test = splits
    return (np.concatenate([train, val]) if spec.train_on_val else train), val, test


def _without_last(fraction: float, n_tokens: int) -> int:
    """Compute floor((1 - fraction) n) with the decimal fraction that was written: in floats 1 - 0.9 is below 0.1."""
    return int((1 - Fraction(str(fraction))) * n_tokens)


def _bytes_per_token(tokenizer: Tokenizer, split: Split) -> float:
    if isinstance(tokenizer, IdTokenizer) or isinstance(split, TaskSplit):
        return math.nan
    if isinstance(split, TurnSplit):
        answers = split.ids[split.are_answers]
        return tokenizer.n_bytes(answers) / answers.size if answers.size else 0.0
    n_predicted = max(split.size - 1, 0)
    n_bytes = sum(tokenizer.n_bytes(split[at : at + _IDS]) for at in range(1, split.size, _IDS))
    return n_bytes / n_predicted if n_predicted else 0.0
