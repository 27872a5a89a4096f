"""Every kind as a program in every format: the table of docs/export.md.

python -m growlab.export.programs.survey
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from growlab.errors import GrowlabError
from growlab.export.programs.checking import require_equal
from growlab.export.programs.formats import FORMATS
from growlab.export.programs.recording import write_program
from growlab.layout import parse
from growlab.model.language_model import LanguageModel, build_model

CASES = (  # all kinds, and the options by which they compute something else
    "attn",
    "attn[gate=true,heads_per_kv=2,qk_norm=true]",
    "swa[window=5]",
    "conv",
    "mamba",
    "mamba2",
    "ssm",
    "ssm[start=real]",
    "hebbian",
    "hebbian[delta=true]",
    "hopfield",
    "hopfield[n_stored=0,n_updates=2]",
    "hopfield[incremental=true]",
    "mlp",
    "mlp[activation=gelu]",
    "moe",
    "moe[balancing=bias]",
    "mix(attn,ssm)",
    "router(conv)",
    "act(attn mlp)",
    "loop(mamba mlp)",
    "front=patch attn",
    "front=patch[decoder=independent] hebbian",
    "attn head=hebbian_head",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A layout, by format the largest difference of a logit from the model's, and why a format refused it."""

    layout: str
    off: Mapping[str, float]
    refused: Mapping[str, str]


def survey() -> Iterator[Row]:
    """Write each case in each format, read it back and compare it; weights are twice what initialisation draws."""
    for layout in CASES:
        model, off, refused = _model_of(layout), dict[str, float](), dict[str, str]()
        for word, into in FORMATS.items():
            with TemporaryDirectory() as folder:
                path = Path(folder) / into.file
                try:
                    write_program(model, into, path)
                    off[word] = require_equal(path, into, model)
                except GrowlabError as error:
                    refused[word] = str(error)
        yield Row(layout=layout, off=off, refused=refused)


def _model_of(layout: str) -> LanguageModel:
    model = build_model(parse(f"d=16 {layout}"), vocab_size=256, max_depth=4, dropout=0.0, seed=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # as drawn they would agree with anything
    return model


def table(rows: Iterator[Row]) -> Iterator[str]:
    """Yield the lines of the table, in Markdown."""
    yield "| layout | " + " | ".join(f"`{word}`" for word in FORMATS) + " |"
    yield "|---" * (1 + len(FORMATS)) + "|"
    for row in rows:
        cells = [f"ok, {row.off[word]:.0e}" if word in row.off else f"refused: {row.refused[word]}" for word in FORMATS]
        yield f"| `{row.layout}` | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    for line in table(survey()):
        print(line, flush=True)
