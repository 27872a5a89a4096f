"""Is an exported folder the model that was trained? Loaded as a stranger would, and compared before it appears."""

import secrets
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from growlab.export.agreement import require_close
from growlab.export.huggingface.model_folder import CODE
from growlab.model.language_model import LanguageModel

_N_TOKENS, _N_STEPS = 24, 4


def require_equal(folder: Path, model: LanguageModel) -> None:
    """Raise CheckpointError unless the folder's model has the logits of this one, of a whole text and step by step."""
    exported = load_exported(folder)
    ids_BT = torch.randint(model.vocab_size, (2, _N_TOKENS), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        begun = exported(ids_BT[:, :-_N_STEPS])
        steps, cache = [begun.logits], begun.past_key_values
        expected_BTV = model(ids_BT)
        whole_BTV = exported(ids_BT, use_cache=False).logits
        for t in range(_N_TOKENS - _N_STEPS, _N_TOKENS):
            steps.append(exported(ids_BT[:, t : t + 1], past_key_values=cache).logits)
    for how, logits_BTV in (("a whole text", whole_BTV), ("a text token by token", torch.cat(steps, dim=1))):
        require_close(how, logits_BTV, expected_BTV)


def load_exported(folder: Path, **how: Any) -> Any:
    """Load the folder past transformers' cache of modules: nothing of it stays, on disk or in this process."""
    from transformers.utils import logging  # takes seconds

    module = _execute(folder / CODE)
    shows_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return module.GrowlabForCausalLM.from_pretrained(folder, **how).eval()
    finally:
        del sys.modules[module.__name__]
        if shows_progress:
            logging.enable_progress_bar()


def _execute(path: Path) -> ModuleType:
    """Run a file as a module; not by import, which would leave a compiled one in the folder."""
    module = ModuleType(f"growlab_exported_{secrets.token_hex(4)}")
    sys.modules[module.__name__] = module  # where dataclasses look a class up
    exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), module.__dict__)
    return module
