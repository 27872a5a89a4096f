"""The trained model that trials begin with: found, compared with the study, and recorded in it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.errors import CheckpointError, UsageError
from growlab.preparation.telling import Tell

if TYPE_CHECKING:
    from growlab.data import Corpus
    from growlab.layout import Layout
    from growlab.study import Study


def with_beginning(study: "Study", corpus: "Corpus", tell: Tell) -> "Study":
    """Record the model that train.init_from names: its sha256 and its layout. Tells what of the first layouts is new.

    Raises UsageError for a model of another width or another tokenizer, CheckpointError for one that is missing,
    damaged or not the recorded one.
    """
    from growlab.domains import Fixed, corners

    folders = {str(value) for value in corners(study.train["init_from"])}
    if folders == {""}:
        return study
    if len(folders) > 1:
        raise UsageError("train.init_from must be one folder, the same for all trials of a study")
    folder = Path(folders.pop())
    sha256, source = _model_at(folder, str(corners(study.train["init_sha256"])[0]))
    if widths := [width for width in study.layouts.d_model if width != source.d_model]:
        raise UsageError(
            f"layouts.d_model must be {source.d_model}, the width of the model in {folder}, got {widths[0]}"
        )
    _require_tokenizer(folder, corpus)
    recorded = {"init_sha256": Fixed(value=sha256), "init_layout": Fixed(value=str(source))}
    _tell_of_first(study, source, folder, sha256, tell)
    return replace(study, train={**study.train, **recorded})


def _model_at(folder: Path, recorded: str) -> "tuple[str, Layout]":
    """The sha256 of the model in an exported folder, and its layout. Raises CheckpointError."""
    from growlab.files import sha256_of
    from growlab.kinds import complete
    from growlab.layout import parse
    from growlab.training.beginning import MODEL
    from growlab.training.checkpoint import read_tensors

    path = folder / MODEL
    try:
        sha256 = sha256_of(path)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}; train.init_from, or --from, names a folder of growlab export"
        ) from None
    if recorded not in ("", sha256):
        raise CheckpointError(
            f"{path} is not the model that this trial began with: sha256 {sha256[:12]}…, recorded {recorded[:12]}…; "
            "bring that one back, or begin with this one: --set train.init_sha256="
        )
    _, header = read_tensors(path, sha256)
    if not isinstance(layout := header.get("layout"), str):
        raise CheckpointError(f"{path} is no model of growlab: its header has no layout")
    return sha256, complete(parse(layout))  # an older growlab wrote fewer options


def _require_tokenizer(folder: Path, corpus: "Corpus") -> None:
    """Raise UsageError unless the corpus is encoded as the model's text was: by content, not by name."""
    from growlab.data import load_tokenizer
    from growlab.data.tokenizers import tokenizer_sha256
    from growlab.training.beginning import TOKENIZER

    own = load_tokenizer(folder / TOKENIZER)
    if tokenizer_sha256(own) == tokenizer_sha256(corpus.tokenizer):
        return
    raise UsageError(
        f"the tokenizer of {corpus.label} ({corpus.tokenizer.vocab_size} tokens) is not that of the model in {folder} "
        f"({own.vocab_size}); train on it with the model's own: growlab train … --from DIR --data FILE does, or "
        f"data.tokenizer: file with data.tokenizer_path: {folder / TOKENIZER}"
    )


def _tell_of_first(study: "Study", source: "Layout", folder: Path, sha256: str, tell: Tell) -> None:
    """Tell what of each layout to start with is new; of layouts that are drawn, each trial's page says it."""
    from growlab.inheritance import inherited_in_words
    from growlab.kinds import complete
    from growlab.layout import parse

    tell(f"note: trials begin with the weights of {folder} (sha256 {sha256[:12]}…)")
    for text in dict.fromkeys(study.layouts.start_with):
        tell(f"note: {text}: {inherited_in_words(complete(parse(text)), source)}")
