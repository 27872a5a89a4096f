"""A growlab plugin: the metric `first_guess`, the share of validation tokens that are the model's likeliest ones.

Use it with --plugin: growlab study run quickstart --plugin my_metric.py --name guessed \\
    --set 'objectives=[val_loss, first_guess]'
"""

import torch

from growlab.data import Corpus
from growlab.metrics import register_metric
from growlab.model.language_model import LanguageModel

LENGTH, MOST = 64, 32  # tokens of a window, and windows


@register_metric("first_guess", "share of validation tokens that are the likeliest", direction="maximise")
def first_guess(model: LanguageModel, corpus: Corpus, device: torch.device) -> float:
    n = min(MOST, (len(corpus.val) - 1) // LENGTH)
    ids = torch.tensor(corpus.val[: n * LENGTH + 1].tolist(), device=device)
    with torch.no_grad():
        logits = model(ids[:-1].view(n, LENGTH))
    return (logits.argmax(-1).flatten() == ids[1:]).float().mean().item()
