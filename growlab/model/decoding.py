"""Sampling text, one token at a time, with the state of every block carried along.

Legend: V vocabulary.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from growlab.errors import UsageError
from growlab.model.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The way in which the next token is drawn.

    With temperature 0 or top_k 1 it is greedy; top_k 0 and top_p 1 leave all tokens.

    They act in this order, each on what the one before left: top_p is a share of what the top_k likeliest have
    together, as in Hugging Face's transformers. repetition_penalty, before all of them, makes tokens that were seen
    before less likely; at 1 it does nothing.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise UsageError(f"temperature must be at least 0, got {self.temperature}")
        if self.top_k < 0:
            raise UsageError(f"top-k must be at least 0 (0: no limit), got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p must be greater than 0 and at most 1, got {self.top_p}")
        if not 1e-6 <= self.repetition_penalty <= 1e6:
            raise UsageError(
                f"repetition-penalty must be between 1e-6 and 1e6 (1: none), got {self.repetition_penalty}"
            )


class Drawer:
    """Draws one token after another; those that it was told of, and drew itself, are penalised as repetitions."""

    def __init__(
        self, sampling: Sampling, random: torch.Generator, *, seen: Iterable[int] = (), never: Collection[int] = ()
    ) -> None:
        self._sampling, self._random, self._seen, self._never = sampling, random, set(seen), never

    def draw(self, logits_V: Float[Tensor, " V"]) -> int:
        """Draw a token, none of `never`."""
        token = draw(logits_V, self._sampling, self._random, seen=self._seen, never=self._never)
        self._seen.add(token)
        return token


class Decoder:
    """A model in evaluation mode that reads tokens and writes others, its states carried from one call to the next."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self._states = model.initial_state(1)
        self._unread: list[int] = []

    def read(self, tokens: Iterable[int]) -> None:
        """Take tokens in before the next one is written."""
        self._unread += tokens

    @torch.no_grad()
    def write(self, length: int, drawer: Drawer, *, end: int | None = None) -> Iterator[int]:
        """Yield `length` tokens, or as many as come before `end`, which is not read.

        Those that are yielded are read.
        """
        for _ in range(length):
            assert self._unread, "writing needs at least one token to start from"
            ids_BT = torch.tensor([self._unread], device=self.model.embedding.weight.device)
            logits_BTV, self._states = self.model.advance(ids_BT, self._states)
            self._unread = []
            if (token := drawer.draw(logits_BTV[0, -1])) == end:
                return
            self._unread.append(token)
            yield token


def generate(
    model: LanguageModel,
    prompt: Sequence[int],
    length: int,
    sampling: Sampling,
    *,
    seed: int,
    never: Collection[int] = (),
    end: int | None = None,
) -> Iterator[int]:
    """Yield `length` token ids that follow a prompt of at least one token; leaves torch's generator alone.

    None of them is in `never`, and `end`, if it is drawn, is the end and not among them. Dropout is off while it
    runs, and the model's mode is restored.
    """
    assert len(prompt) > 0, "generation needs at least one token to start from"
    was_training = model.training
    model.eval()
    try:
        decoder = Decoder(model)
        decoder.read(prompt)
        drawer = Drawer(sampling, torch.Generator().manual_seed(seed), seen=prompt, never=never)
        yield from decoder.write(length, drawer, end=end)
    finally:
        model.train(was_training)


def draw(
    logits_V: Float[Tensor, " V"],
    sampling: Sampling,
    random: torch.Generator,
    *,
    seen: Collection[int] = (),
    never: Collection[int] = (),
) -> int:
    """Draw one token id, none of `never`. Ties of a greedy draw go to the lowest id."""
    logits_V = _penalised(logits_V.float().cpu(), seen, sampling.repetition_penalty)
    if never:
        logits_V = logits_V.index_fill(0, torch.tensor(sorted(never)), -torch.inf)
    if sampling.temperature == 0 or sampling.top_k == 1:
        return int(logits_V.argmax())
    weights_V, order_V = ranked(logits_V, sampling)
    return int(order_V[torch.multinomial(weights_V, 1, generator=random)])


def ranked(logits_V: Float[Tensor, " V"], sampling: Sampling) -> tuple[Float[Tensor, " V"], Int[Tensor, " V"]]:
    """Weights of the tokens in a draw, the likeliest first, and their ids; what top_k or top_p leaves out weighs 0.

    The rest keep their probabilities, float64, which then sum to less than 1. temperature must be above 0.
    """
    # the largest becomes 0, so that a tiny temperature makes no inf - inf
    probs_V = torch.softmax((logits_V - logits_V.max()).double() / sampling.temperature, dim=-1)
    left_V, order_V = probs_V.sort(descending=True, stable=True)
    if 0 < sampling.top_k < len(left_V):
        left_V[sampling.top_k :] = 0
    if sampling.top_p < 1:  # the smallest set that reaches this share of what is left; never empty
        left_V *= left_V.cumsum(0) - left_V < sampling.top_p * left_V.sum()
    return left_V, order_V


def _penalised(logits_V: Float[Tensor, " V"], seen: Collection[int], penalty: float) -> Float[Tensor, " V"]:
    """The logits of seen tokens divided by the penalty where they are positive, and times it where they are not.

    Source: Keskar et al. 2019, "CTRL", section 4.1; the negative case as everybody has written it since, as a
    division would make those tokens likelier.
    """
    if penalty == 1 or not seen:
        return logits_V
    at = torch.tensor(sorted(seen))
    seen_logits = logits_V[at]
    return logits_V.index_copy(0, at, torch.where(seen_logits > 0, seen_logits / penalty, seen_logits * penalty))
