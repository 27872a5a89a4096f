"""Sampling text, one token at a time, with the state of every block carried along."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from growlab.errors import UsageError
from growlab.model.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn. temperature 0 and top_k 1 are greedy; top_k 0 and top_p 1 leave all tokens."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise UsageError(f"temperature must be at least 0, got {self.temperature}")
        if self.top_k < 0:
            raise UsageError(f"top-k must be at least 0 (0: no limit), got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p must be greater than 0 and at most 1, got {self.top_p}")


@torch.no_grad()
def generate(
    model: LanguageModel, prompt: Sequence[int], length: int, sampling: Sampling, *, seed: int
) -> Iterator[int]:
    """Yield `length` token ids that follow a prompt of at least one token; leaves torch's generator alone.

    Dropout is off while it runs, and the model's mode is restored.
    """
    assert len(prompt) > 0, "generation needs at least one token to start from"
    device = model.embedding.weight.device
    random = torch.Generator().manual_seed(seed)
    was_training = model.training
    model.eval()
    try:
        states = model.initial_state(1)
        ids_BT = torch.tensor([list(prompt)], device=device)
        for _ in range(length):
            logits_BTV, states = model.advance(ids_BT, states)
            token = draw(logits_BTV[0, -1], sampling, random)
            yield token
            ids_BT = torch.tensor([[token]], device=device)
    finally:
        model.train(was_training)


def draw(logits_V: Float[Tensor, " V"], sampling: Sampling, random: torch.Generator) -> int:
    """One token id. Ties of a greedy draw go to the lowest id."""
    logits_V = logits_V.float().cpu()
    if sampling.temperature == 0 or sampling.top_k == 1:
        return int(logits_V.argmax())
    # the largest becomes 0, so that a tiny temperature makes no inf - inf
    probs_V = torch.softmax((logits_V - logits_V.max()).double() / sampling.temperature, dim=-1)
    ordered_V, order_V = probs_V.sort(descending=True, stable=True)
    allowed_V = torch.ones_like(ordered_V, dtype=torch.bool)
    if 0 < sampling.top_k < len(ordered_V):
        allowed_V[sampling.top_k :] = False
    if sampling.top_p < 1:  # the smallest set that reaches top_p; never empty
        allowed_V &= ordered_V.cumsum(0) - ordered_V < sampling.top_p
    chosen = torch.multinomial(ordered_V * allowed_V, 1, generator=random)
    return int(order_V[chosen])
