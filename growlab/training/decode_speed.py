"""How fast a trained model writes, here: tokens per second of one text, its states carried from token to token."""

import time
from contextlib import nullcontext
from statistics import median

import torch

from growlab.data.corpus import Corpus
from growlab.data.turns import TurnSplit
from growlab.metrics import register_metric
from growlab.model.decoding import Decoder, Drawer, Sampling
from growlab.model.language_model import LanguageModel
from growlab.records import DECODE_SPEED
from growlab.training.device import one_thread
from growlab.training.sample import ONE_CORE, PROMPT

LENGTH, TIMES = 64, 3  # tokens that are timed, and how often


@register_metric(DECODE_SPEED, "speed of writing one text where it was trained, greedily", direction="maximise")
def decode_tokens_per_s(model: LanguageModel, corpus: Corpus, device: torch.device) -> float:
    """Tokens per second behind a validation prompt, the median of a few times; a first, shorter text is not timed.

    On a CPU a small model has one thread, as when it writes its sample.
    """
    val = corpus.val
    prompt = val.prompt(0) if isinstance(val, TurnSplit) else val[:PROMPT].tolist()
    small = device.type == "cpu" and sum(weight.numel() for weight in model.parameters()) <= ONE_CORE
    with one_thread() if small else nullcontext():
        _write(model, prompt, LENGTH // 8)
        return median(LENGTH / _write(model, prompt, LENGTH) for _ in range(TIMES))


def _write(model: LanguageModel, prompt: list[int], length: int) -> float:
    """Write so many tokens, the first of which reads the prompt before the clock starts. Return the seconds."""
    decoder, drawer = Decoder(model), Drawer(Sampling(temperature=0.0), torch.Generator())
    decoder.read(prompt)
    written = decoder.write(1 + length, drawer)
    next(written)
    began = time.perf_counter()
    for _ in written:  # each waits for its token
        pass
    return time.perf_counter() - began
