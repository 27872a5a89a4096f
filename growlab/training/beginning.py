"""A run that begins with the weights of a model that was trained before (train.init_from).

They are read at step 0 alone: a checkpoint holds all that it goes on from, so a trial that was stopped or killed needs
the folder again only where it has no checkpoint yet, or one that cannot be read.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Shaped
from torch import Tensor

from growlab.data.corpus import Corpus
from growlab.errors import CheckpointError
from growlab.inheritance import matched_blocks
from growlab.kinds import units
from growlab.layout import Layout, parse
from growlab.model.language_model import LanguageModel
from growlab.specs import TrialSpec
from growlab.training.checkpoint import read_tensors
from growlab.training.run import TrialRun, fresh_run

MODEL = "model.safetensors"  # in a folder that growlab export wrote
TOKENIZER = "tokenizer.json"


def first_run(spec: TrialSpec, corpus: Corpus, device: torch.device) -> TrialRun:
    """Make a trial at step 0: with the weights that its seed draws, or those that it begins with as far as they fit.

    Raises CheckpointError where these are missing or are not the recorded ones.
    """
    run = fresh_run(spec, corpus, device)
    if spec.train.init_from:
        try:
            tensors, _ = read_tensors(Path(spec.train.init_from) / MODEL, spec.train.init_sha256)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}; this trial begins with it (train.init_from): bring the folder back"
            ) from None
        take_over(run.model, tensors, parse(spec.train.init_layout))
    return run


@torch.no_grad()
def take_over(model: LanguageModel, tensors: Mapping[str, Shaped[Tensor, "..."]], source: Layout) -> None:
    """Copy what a model has in common with a trained one of the layout `source`; all else stays as it was drawn."""
    layout = model.layout
    here, there = _prefixes(layout), _prefixes(source)
    renamed = {here[at]: there[of] for at, of in matched_blocks(layout, source).items()}
    kept = {"front.": layout.front == source.front, "head.": layout.head == source.head}
    for name, parameter in model.named_parameters():
        if name.startswith("units."):
            prefix = ".".join(name.split(".")[:3]) + "."
            if prefix not in renamed:
                continue
            name = renamed[prefix] + name.removeprefix(prefix)
        elif not kept.get(name.partition(".")[0] + ".", True):
            continue
        if name not in tensors or tensors[name].shape != parameter.shape:
            raise CheckpointError(f"the model that this trial begins with does not fit its own layout: {name}")
        parameter.copy_(tensors[name])


def _prefixes(layout: Layout) -> list[str]:
    """What the names of each block's parameters begin with."""
    return [f"units.{unit}.{at}." for unit, blocks in enumerate(units(layout.blocks)) for at in range(len(blocks))]
