"""The validation loss: one full, deterministic, non-overlapping pass."""

import torch

from growlab.blocks import Mixer
from growlab.data.batches import n_predicted, validation_batches
from growlab.data.corpus import Split
from growlab.model.language_model import LanguageModel
from growlab.training.device import autocast


@torch.no_grad()
def evaluate(
    model: LanguageModel, ids: Split, *, seq_len: int, batch_size: int, precision: str, device: torch.device
) -> float:
    """Mean negative log-likelihood in nats per token over all tokens but the first; no auxiliary terms.

    Of a synthetic task: over its answers.

    Dropout is off; the model's mode is restored. Sums in float64, on the host, as MPS has none; one
    synchronisation, at the end.
    """
    was_training = model.training
    model.eval()
    means, counts = [], []
    with autocast(precision, device):
        for x_BT, y_BT in validation_batches(ids, seq_len, batch_size):
            counts.append(n_predicted(y_BT))
            means.append(model.loss(x_BT.to(device), y_BT.to(device)))
    model.train(was_training)
    losses: list[float] = torch.stack(means).tolist()
    return sum(loss * n for loss, n in zip(losses, counts, strict=True)) / sum(counts)


@torch.no_grad()
def measure(
    model: LanguageModel, ids: Split, seq_len: int, batch_size: int, precision: str, device: torch.device
) -> dict[str, float]:
    """What the model's blocks measure of the first validation batch; {} where none measures anything.

    Dropout is off; the model's mode is restored. One synchronisation.
    """
    if all(type(block.mixer).measures is Mixer.measures for block in model.blocks()):
        return {}
    was_training = model.training
    model.eval()
    x_BT, _ = next(validation_batches(ids, seq_len, batch_size))
    with autocast(precision, device):
        found = model.measures(x_BT.to(device))
    model.train(was_training)
    values = torch.stack([value.float() for value in found.values()]).tolist() if found else []
    return dict(zip(found, values, strict=True))
