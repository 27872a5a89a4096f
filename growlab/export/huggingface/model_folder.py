"""The folder of a model: configuration, weights, tokenizer and the one file of code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save

from growlab.data.tokens import Tokenizer
from growlab.export.huggingface.single_file import single_file
from growlab.export.huggingface.tokenizer_file import SpecialIds, special_ids, tokenizer_files
from growlab.files import write_atomically
from growlab.layout import BlockSpec
from growlab.model.language_model import LanguageModel

MODULE = "modeling_growlab"
CODE, CONFIG, GENERATION = f"{MODULE}.py", "config.json", "generation_config.json"
WEIGHTS, TOKENIZER, TOKENIZER_CONFIG = "model.safetensors", "tokenizer.json", "tokenizer_config.json"
FILES = {
    CODE: "the model, in one file that needs torch and transformers alone",
    CONFIG: "its layout, for transformers",
    WEIGHTS: "its weights",
    GENERATION: "what `generate` is told",
    TOKENIZER: "the tokenizer",
    TOKENIZER_CONFIG: "what transformers is told of it",
}


def write_model(folder: Path, model: LanguageModel, tokenizer: Tokenizer, seq_len: int) -> None:
    """Write all that `from_pretrained` reads. `seq_len` is the number of tokens that training saw at once.

    Raises DataError for a tokenizer that AutoTokenizer could not have exactly, OSError.
    """
    ids, files = special_ids(tokenizer), tokenizer_files(tokenizer)
    write_atomically(folder / CODE, single_file(model.layout).encode())
    _write_json(folder / CONFIG, _config(model, ids, seq_len))
    _write_json(folder / GENERATION, ids.generation)
    if files is not None:
        _write_json(folder / TOKENIZER, files.tokenizer)
        _write_json(folder / TOKENIZER_CONFIG, files.config)
    weights = {f"model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(folder / WEIGHTS, save(weights, metadata={"format": "pt"}))


def _config(model: LanguageModel, ids: SpecialIds, seq_len: int) -> dict[str, Any]:
    layout = model.layout
    return {
        "model_type": "growlab",
        "architectures": ["GrowlabForCausalLM"],
        "auto_map": {"AutoConfig": f"{MODULE}.GrowlabConfig", "AutoModelForCausalLM": f"{MODULE}.GrowlabForCausalLM"},
        "layout": str(layout),
        "d_model": layout.d_model,
        "vocab_size": ids.vocab_size,
        "units": [[_block(block) for block in model.blocks_of(unit)] for unit in model.units],
        "front": layout.front and _block(layout.front),
        "head": layout.head and _block(layout.head),
        "start_token_id": ids.start,
        "max_position_embeddings": seq_len,
        "tie_word_embeddings": False,
        "use_cache": True,
        "dtype": str(model.embedding.weight.dtype).removeprefix("torch."),
    }


def _block(block: BlockSpec) -> dict[str, Any]:
    branches = {"branches": [[_block(held) for held in branch] for branch in block.branches]} if block.branches else {}
    return {"kind": block.kind, "options": dict(block.options), **branches}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode())
