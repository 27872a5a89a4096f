"""The program of a model: what it computes of ids, for any batch and any length, recorded once by torch.export.

Whether a kind of block can be recorded is found by trying. growlab's own can, some by a form of theirs for it (see
growlab.blocks.any_length); one from outside cannot where its data decide what is computed, or where its lengths do.

Legend: B batch, T tokens, D d_model.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from growlab.blocks.base import Block, Mixer
from growlab.blocks.nest import Nest
from growlab.errors import NotExportable
from growlab.escapes import first_line
from growlab.export.programs.formats import Format
from growlab.faults import is_out_of_memory
from growlab.layout import BlockSpec
from growlab.model.language_model import LanguageModel

_EXAMPLE = (2, 10)  # batch and tokens that are traced: neither is 1, which torch would take for a constant
_LONGEST_REASON = 200  # characters


def write_program(model: LanguageModel, format: Format, path: Path) -> None:
    """Write the program of a model in eval mode.

    Raises NotExportable, which names the kinds that cannot be a part of one, and OSError.
    """
    ids_BT = torch.zeros(_EXAMPLE, dtype=torch.int64)
    try:
        format.write(_record(model, ids_BT), path)
    except OSError:
        raise
    except Exception as error:  # torch's own, of its compiler or of a kind's code
        if is_out_of_memory(error):
            raise
        raise _refusal(model, format, error) from error


def _record(module: nn.Module, example: Tensor) -> ExportedProgram:
    """Record what a module makes of a tensor (B, T, …) of any B and T from 1 on."""
    sizes = {0: Dim("batch", min=1), 1: Dim("tokens", min=1)}
    with torch.no_grad():
        return torch.export.export(module, (example,), dynamic_shapes=(sizes,))


def _refusal(model: LanguageModel, format: Format, error: Exception) -> NotExportable:
    failing = dict(_failing(model, format))
    kinds = sorted(failing) or [part.kind for part in (model.layout.front, model.layout.head) if part]
    named = f"block kind {', '.join(map(repr, kinds))}" if kinds else "this layout"
    reason = next(iter(failing.values()), error)
    text = first_line(str(reason).strip())[:_LONGEST_REASON]
    return NotExportable(
        f"--to {format.word} cannot hold {named}, of which {format.name} makes no program for texts of any length: "
        f"{type(reason).__name__}: {text}; nothing was written. Export it with --to hf, or for growlab, without --to"
    )


def _failing(model: LanguageModel, format: Format) -> Iterator[tuple[str, Exception]]:
    """The kinds of the blocks that cannot be recorded by themselves, each with why; of a nest what it holds."""
    for block in model.blocks():
        yield from _failing_in(block.spec, block, model.d_model, format)


def _failing_in(
    spec: BlockSpec, module: Block | Mixer, d_model: int, format: Format
) -> Iterator[tuple[str, Exception]]:
    if (error := _failure(module, d_model, format)) is None:
        return
    mixer = module.mixer if isinstance(module, Block) else module
    inner: list[tuple[str, Exception]] = []
    if isinstance(mixer, Nest):
        for held_spec, held in zip(spec.inner, mixer.held, strict=True):
            inner += _failing_in(held_spec, held, d_model, format)
    yield from inner or [(spec.kind, error)]


def _failure(module: Block | Mixer, d_model: int, format: Format) -> Exception | None:
    try:
        with TemporaryDirectory() as folder:
            format.write(_record(module, torch.zeros(*_EXAMPLE, d_model)), Path(folder) / format.file)
    except Exception as error:
        return error
    return None
