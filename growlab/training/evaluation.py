"""The validation loss: one full, deterministic, non-overlapping pass."""

import torch

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

    Dropout is off; the model's mode is restored. Sums in float64; one synchronisation, at the end.
    """
    was_training = model.training
    model.eval()
    total = torch.zeros((), dtype=torch.float64, device=device)
    n_tokens = 0
    with autocast(precision, device):
        for x_BT, y_BT in validation_batches(ids, seq_len, batch_size):
            n_in_batch = n_predicted(y_BT)
            total += model.loss(x_BT.to(device), y_BT.to(device)).double() * n_in_batch
            n_tokens += n_in_batch
    model.train(was_training)
    return float(total) / n_tokens
