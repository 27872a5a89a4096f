"""Read a bundle back, and let its model write."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from growlab.data.markers import ChatTokenizer
from growlab.data.text_files import as_read
from growlab.data.tokenizers import Tokenizer, load_tokenizer
from growlab.errors import CannotEncode, CheckpointError, SpecError, UsageError
from growlab.export.contents import CONFIG, MODEL, TOKENIZER, read_config, recorded_sha256, require_own
from growlab.layout import Layout, parse
from growlab.model.conversation import Conversation
from growlab.model.decoding import Sampling, generate
from growlab.model.language_model import LanguageModel
from growlab.model.streaming import before_stop, require_stops, whole_characters
from growlab.plugins import load_plugins
from growlab.suggest import command
from growlab.training.checkpoint import read_tensors, require_recorded
from growlab.training.device import use_device


@dataclass(frozen=True, kw_only=True)
class Bundle:
    model: LanguageModel  # in eval mode
    tokenizer: Tokenizer
    config: Mapping[str, Any]  # config.yaml


def load_bundle(folder: Path, device: torch.device) -> Bundle:
    """Load a model as it was exported. Leaves torch's generators alone.

    Raises SpecError for a config.yaml that is missing or malformed and for an export for transformers,
    CheckpointError for another file that is missing or is not the recorded one; both name the file.
    """
    config = read_config(folder)
    require_own(config, folder)
    try:
        tensors, _ = read_tensors(folder / MODEL, recorded_sha256(config, folder, MODEL))
        tokenizer = _read_tokenizer(folder / TOKENIZER, recorded_sha256(config, folder, TOKENIZER))
    except CheckpointError as error:
        raise CheckpointError(f"{error}; export the trial again") from None
    if (n_tokens := tokenizer.vocab_size) != config["vocab_size"]:
        raise SpecError(
            f"{folder / CONFIG}: vocab_size is {config['vocab_size']}, but {TOKENIZER} has {n_tokens} tokens"
        )
    return Bundle(model=_build(folder, config, tensors).to(device), tokenizer=tokenizer, config=config)


def load_model(path: Path, sha256: str) -> LanguageModel:
    """Load the final model of a trial from its artifact, in eval mode, on the CPU. Leaves torch's generators alone.

    Raises CheckpointError for a file that is missing, is not the recorded one or is no model.
    """
    try:
        tensors, header = read_tensors(path, sha256)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; give the artifact folder of the worker that trained it, or restore it from a backup"
        ) from None
    match header:
        case {"layout": str(layout), "vocab_size": int(vocab_size)}:
            return _assembled(parse(layout), vocab_size, tensors)
    raise CheckpointError(f"{path} is no model of growlab: its header has no layout or no vocab_size")


def ready_bundle(folder: Path, device: str, *, plugins: Sequence[Path] = (), hard_exit: bool = False) -> Bundle:
    """A model as it was exported, on the device of this name, with what `plugins` register.

    With `hard_exit` it skips what a router would open less than half. Raises as `load_bundle` does, and UsageError.
    """
    load_plugins(plugins)
    bundle = load_bundle(folder, use_device(device))
    if hard_exit:
        bundle.model.exit_hard()
    return bundle


def generate_text(
    bundle: Bundle, prompt: str, length: int, sampling: Sampling, seed: int, stops: Collection[str] = ()
) -> Iterator[str]:
    """Yield pieces of the text that follows the prompt, `length` tokens in all, as they are drawn.

    A piece holds whole characters only. The text ends before a stop string. Without a prompt the model starts as if
    after a newline. Raises DataError at once for a prompt with characters that the model has never seen, UsageError
    for an empty stop string.
    """
    require_stops(stops)
    tokenizer = bundle.tokenizer
    ids = _prompt_ids(tokenizer, as_prompt(bundle, prompt))
    speakers, end = (tokenizer.speakers, tokenizer.end) if isinstance(tokenizer, ChatTokenizer) else ((), None)
    tokens = generate(bundle.model, ids, length, sampling, seed=seed, never=speakers, end=end)
    return before_stop(whole_characters(tokenizer, tokens), stops)


def as_prompt(bundle: Bundle, prompt: str) -> str:
    """Read a prompt as the model's corpus would have been read: without the mark of a file, with its newlines."""
    match bundle.config.get("trial_spec"):
        case {"data": {"source": str(source)}}:
            return as_read(prompt, source)
    return as_read(prompt, "")


def converse(bundle: Bundle, folder: Path, sampling: Sampling, seed: int) -> Conversation:
    """Begin a conversation. Raises UsageError for a model that was not trained on questions and answers."""
    match bundle.config.get("trial_spec"):
        case {"data": {"source": str(source)}, "train": {"seq_len": int(seq_len)}}:
            pass
        case _:
            raise SpecError(f"{folder / CONFIG}: trial_spec: has no data or no train; export the trial again")
    if source != "qa" or not isinstance(bundle.tokenizer, ChatTokenizer):
        raise UsageError(
            f"{folder} was not trained on questions and answers but on source {source!r}, so it cannot chat; "
            f"train on data.source: qa, or try: {command('generate', folder)}"
        )
    return Conversation(bundle.model, bundle.tokenizer, window=seq_len, sampling=sampling, seed=seed)


def _read_tokenizer(path: Path, sha256: str) -> Tokenizer:
    require_recorded(path, sha256)
    return load_tokenizer(path)


def _build(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LanguageModel:
    try:
        return _assembled(parse(config["layout"]), config["vocab_size"], tensors)
    except UsageError as error:
        raise SpecError(f"{folder / CONFIG}: {error}") from None
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{folder / MODEL} does not fit the layout in {CONFIG}: {reason}") from None


def _assembled(layout: Layout, vocab_size: int, tensors: Mapping[str, Tensor]) -> LanguageModel:
    """A model with these weights, in eval mode. Raises RuntimeError where they do not fit the layout."""
    with torch.random.fork_rng(devices=[]):  # initial weights are drawn, then overwritten
        model = LanguageModel(layout, vocab_size=vocab_size, max_depth=layout.depth, dropout=0.0)
    model.load_state_dict(tensors)
    return model.eval()


def _prompt_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Encode a prompt to at least one id.

    What has none, such as no prompt for a corpus of one line or of bare ids, begins with id 0.
    """
    try:
        ids = [int(token) for token in tokenizer.encode(prompt or "\n")]
    except CannotEncode:
        if prompt:
            raise
        ids = []
    return ids or [0]
