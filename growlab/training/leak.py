"""The leak alarm: does the loss of a token change when nothing after it can be seen?

A causal model cannot tell. One that sees a single token ahead reaches losses that no honest model
does, and a search would crown it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from growlab.data.batches import validation_batches
from growlab.data.corpus import Split
from growlab.model.language_model import LanguageModel

N_WINDOWS = 64
TOLERANCE = 1e-3  # nats; fp32 rounding is a thousand times smaller


@torch.no_grad()
def leak(model: LanguageModel, ids: Split, seq_len: int, device: torch.device) -> float:
    """Measure the largest change, in nats, of a token's loss when the input is cut somewhere after the token before it.

    Looks at the first 64 validation windows and cuts at T/4, T/2 and 3T/4, in fp32 and without dropout; and at
    T/2 + 1, as a block that works in chunks and leaks inside them may have its borders at all of the others. NaN
    if a loss is NaN. Windows too short to be cut say nothing (0).
    """
    was_training = model.training
    model.eval()
    x_BT, y_BT = (tensor.to(device) for tensor in next(validation_batches(ids, seq_len, N_WINDOWS)))
    y_BT = y_BT.clamp(min=0)  # any target shows a leak, also where a task has none
    whole_BT = _losses(model, x_BT, y_BT)
    seq_len = x_BT.shape[1]  # other than asked for where a question and its answer are one window
    changes = [torch.zeros((), device=device)]
    for cut in sorted({seq_len // 4, seq_len // 2, seq_len // 2 + 1, 3 * seq_len // 4} & set(range(1, seq_len))):
        cut_BT = _losses(model, x_BT[:, :cut], y_BT[:, :cut])
        changes.append((cut_BT - whole_BT[:, :cut]).abs().max())
    model.train(was_training)
    return float(torch.stack(changes).max())


def _losses(model: LanguageModel, x_BT: Tensor, y_BT: Tensor) -> Tensor:
    """Losses of every token, (B, T)."""
    return F.cross_entropy(model(x_BT).float().transpose(1, 2), y_BT, reduction="none")
