"""The leak alarm: does the loss of a token change when nothing after it can be seen?

A causal model cannot tell. One that sees a single token ahead reaches losses that no honest model
does, and a search would crown it.

In fp32 an honest model can seem to tell: rounding depends on the length of a window, and where a router likes two
experts all but equally, it decides which of them mixes a token. In float64 such a tie is a billion times rarer, and a
leak is what it was. So an alarm in fp32 counts once a copy of the model in float64 repeats it. A leak of a kernel
that serves narrower types alone is not repeated; nor was one of bf16 ever looked for.

Legend: W windows, T tokens.
"""

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from growlab.blocks.base import wide
from growlab.data.batches import validation_batches
from growlab.data.corpus import Split
from growlab.faults import is_of_device, is_out_of_memory
from growlab.model.language_model import LanguageModel

N_WINDOWS = 64
TOLERANCE = 1e-3  # nats; fp32 rounding is a thousand times smaller, where it decides nothing
EXACT_TOKENS = 4096  # at once in float64, whose attention keeps all scores


@torch.no_grad()
def leak(model: LanguageModel, ids: Split, seq_len: int, device: torch.device) -> float:
    """Measure the largest change, in nats, of a token's loss when the input is cut somewhere after the token before it.

    Looks at the first 64 validation windows, in fp32 and without dropout. Windows that change by more than TOLERANCE
    are looked at again in float64, and what is seen there is returned. NaN if a loss is NaN. Windows too short to be
    cut say nothing (0).
    """
    was_training = model.training
    model.eval()
    x_WT, y_WT = (tensor.to(device) for tensor in next(validation_batches(ids, seq_len, N_WINDOWS)))
    y_WT = y_WT.clamp(min=0)  # any target shows a leak, also where a task has none
    changes_W = _changes(model, x_WT, y_WT)
    change = float(changes_W.max())
    if change > TOLERANCE:
        suspect_W = changes_W > TOLERANCE
        change = _exact_change(model, x_WT[suspect_W], y_WT[suspect_W], otherwise=change)
    model.train(was_training)
    return change


def _exact_change(
    model: LanguageModel, x_WT: Int[Tensor, "W T"], y_WT: Int[Tensor, "W T"], *, otherwise: float
) -> float:
    """The largest change in float64, of a copy of the model; `otherwise` where a kind from outside cannot do that."""
    device = torch.device("cpu") if x_WT.device.type == "mps" else x_WT.device  # MPS has no float64
    n_at_once = max(1, EXACT_TOKENS // x_WT.shape[1])
    batches = zip(*(torch.split(tensor.to(device), n_at_once) for tensor in (x_WT, y_WT)), strict=True)
    try:
        exact = copy.deepcopy(model).to(device).to(torch.float64)
        return float(torch.cat([_changes(exact, x_wT, y_wT) for x_wT, y_wT in batches]).max())
    except RuntimeError as error:
        if is_out_of_memory(error) or is_of_device(error):
            raise
        return otherwise


def _changes(model: LanguageModel, x_WT: Int[Tensor, "W T"], y_WT: Int[Tensor, "W T"]) -> Float[Tensor, " W"]:
    """The largest change of a token's loss in each window.

    Cuts at T/4, T/2 and 3T/4; and at T/2 + 1, as a block that works in chunks and leaks inside them may have its
    borders at all of the others.
    """
    whole_WT = _losses(model, x_WT, y_WT)
    seq_len = x_WT.shape[1]  # other than asked for where a question and its answer are one window
    changes = [torch.zeros_like(whole_WT[:, 0])]
    for cut in sorted({seq_len // 4, seq_len // 2, seq_len // 2 + 1, 3 * seq_len // 4} & set(range(1, seq_len))):
        cut_WT = _losses(model, x_WT[:, :cut], y_WT[:, :cut])
        changes.append((cut_WT - whole_WT[:, :cut]).abs().amax(1))
    return torch.stack(changes).amax(0)


def _losses(model: LanguageModel, x_WT: Int[Tensor, "W T"], y_WT: Int[Tensor, "W T"]) -> Float[Tensor, "W T"]:
    """Losses of every token, fp32 at least."""
    logits_WTV = model(x_WT)
    return F.cross_entropy(logits_WTV.to(wide(logits_WTV.dtype)).transpose(1, 2), y_WT, reduction="none")
