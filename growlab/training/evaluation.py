"""The validation loss: one full, deterministic, non-overlapping pass. Of a synthetic task also how much is right.

Legend: B windows, T tokens, V vocabulary, N batches.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from growlab.blocks import Mixer
from growlab.data.batches import n_predicted, validation_batches
from growlab.data.corpus import Split
from growlab.data.tasks import TaskSplit
from growlab.model.language_model import LanguageModel, nats_per_token
from growlab.training.device import autocast


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of a validation pass."""

    loss: float  # nats per token
    accuracy: float | None  # share of a task's answers whose token has the largest logit; None of a text


@torch.no_grad()
def evaluate(
    model: LanguageModel, ids: Split, *, seq_len: int, batch_size: int, precision: str, device: torch.device
) -> Evaluation:
    """Compute the mean negative log-likelihood in nats per token over all tokens but the first; no auxiliary terms.

    Of a synthetic task: over its answers, and how many of them are right, from the same pass.

    Dropout is off; the model's mode is restored. Sums in float64, on the host, as MPS has none; one
    synchronisation, at the end.
    """
    was_training = model.training
    model.eval()
    rows, counts = [], []
    with autocast(precision, device):
        for x_BT, y_BT in validation_batches(ids, seq_len, batch_size):
            counts.append(n_predicted(y_BT))
            rows.append(measured(model(x_BT.to(device)), y_BT.to(device), answers=isinstance(ids, TaskSplit)))
    model.train(was_training)
    return summed(torch.stack(rows), counts, answers=isinstance(ids, TaskSplit))


def summed(rows_N2: Float[Tensor, "N 2"], counts: Sequence[int], *, answers: bool) -> Evaluation:
    """The evaluation of N batches, each of which predicts so many tokens. Waits for the device."""
    rows: list[list[float]] = rows_N2.tolist()
    loss = sum(mean * n for (mean, _), n in zip(rows, counts, strict=True)) / sum(counts)
    n_right = sum(right for _, right in rows)
    return Evaluation(loss=loss, accuracy=n_right / sum(counts) if answers else None)


def measured(logits_BTV: Float[Tensor, "B T V"], y_BT: Int[Tensor, "B T"], *, answers: bool) -> Float[Tensor, "2"]:
    """Mean loss, and the number of right answers (0 unless asked for), fp32: a batch never has 2**24 of them."""
    loss = nats_per_token(logits_BTV, y_BT)
    if not answers:  # of a text the argmax over a large vocabulary would be for nothing
        return torch.stack((loss, torch.zeros_like(loss)))
    n_right = (logits_BTV.argmax(dim=-1) == y_BT).sum()  # where y is IGNORED no token equals it
    return torch.stack((loss, n_right.to(loss.dtype)))


@torch.no_grad()
def block_metrics(
    model: LanguageModel, ids: Split, seq_len: int, batch_size: int, precision: str, device: torch.device
) -> dict[str, float]:
    """Metrics of the model's blocks on the first validation batch; {} where none has any.

    Dropout is off; the model's mode is restored. One synchronisation.
    """
    if all(type(block.mixer).metrics is Mixer.metrics for block in model.blocks()):
        return {}
    was_training = model.training
    model.eval()
    x_BT, _ = next(validation_batches(ids, seq_len, batch_size))
    with autocast(precision, device):
        found = model.block_metrics(x_BT.to(device))
    model.train(was_training)
    values = torch.stack([value.float() for value in found.values()]).tolist() if found else []
    return dict(zip(found, values, strict=True))


def bits_per_byte(nats_per_token: float, bytes_per_token: float) -> float:
    """A loss that tokenisers can be compared by: nats per token / (ln 2 · bytes per token)."""
    return nats_per_token / (math.log(2) * bytes_per_token)
