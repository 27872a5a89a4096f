"""Is a program the model that was trained? Read back from its file, and compared before its folder appears."""

from pathlib import Path

import torch

from growlab.export.agreement import require_close
from growlab.export.programs.formats import Format
from growlab.model.language_model import LanguageModel

TEXTS = ((1, 1), (2, 24), (3, 150))  # batch and tokens: one token; a few; more than two chunks of a memory


@torch.no_grad()
def require_equal(path: Path, format: Format, model: LanguageModel) -> float:
    """Return the largest difference of a logit from the trained model's, on texts of several lengths in batches.

    Raises CheckpointError where it is more than growlab.export.agreement allows.
    """
    run, random, largest = format.load(path), torch.Generator().manual_seed(0), 0.0
    for n_texts, n_tokens in TEXTS:
        ids_BT = torch.randint(model.vocab_size, (n_texts, n_tokens), generator=random)
        logits_BTV, expected_BTV = run(ids_BT), model(ids_BT)
        require_close(f"{n_texts} text(s) of {n_tokens} token(s)", logits_BTV, expected_BTV)
        largest = max(largest, float((logits_BTV - expected_BTV).abs().max()))
    return largest
