"""Compiled blocks: one program for all blocks of one spec and shape, in whatever layout they stand.

torch.compile fuses what lies between the matrix products of a block: norm, rotation, activation, dropout, residual
sum. It tells programs apart by what a block is made of (kind, options, width), by batch and sequence length, precision
and rate of dropout, not by the block; so a search pays for a kind once. Programs are kept in the cache folder, where
other workers find them and need not compile.

A program begins with the residual sum that the block before left to it, so that sum and norm read the stream once:

    stream, mixed  →  stream + dropout(mixed), mixer(norm(stream + dropout(mixed)))

Only training is compiled, and of a growing model only what trains: with frozen weights a block would be another
program, for a forward pass alone.

Source: Ansel et al. 2024, "PyTorch 2: Faster Machine Learning Through Dynamic Python Bytecode Transformation and Graph
Compilation".

Legend: B batch, T tokens, N what the blocks see of them, D d_model, V vocabulary.
"""

import os
import shutil
import sysconfig
import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from growlab.blocks import Block, build_block
from growlab.blocks.base import NEVER_CHANGING, Penalty, total
from growlab.escapes import first_line
from growlab.faults import is_of_device
from growlab.kernels import is_open
from growlab.kinds import complete_block
from growlab.layout import BlockSpec
from growlab.model.causal_model import logits_of
from growlab.model.language_model import LanguageModel, nats_per_token
from growlab.resources import cache_dir

Stream = Float[Tensor, "B N D"]
Objective = Callable[[Int[Tensor, "B T"], Int[Tensor, "B T"]], tuple[Float[Tensor, ""], Penalty]]  # of ids, targets
Embed = Callable[[Int[Tensor, "B T"], Float[Tensor, "V D"], float], Float[Tensor, "B T D"]]
Run = Callable[[Block, Stream, Stream], tuple[Stream, Stream, Penalty]]
Head = Callable[
    [Stream, Stream, Float[Tensor, " D"], Float[Tensor, "V D"], Int[Tensor, "B T"], float], Float[Tensor, ""]
]

_MOST = 512  # programs that a process keeps; with more shapes than that, new ones run as they are


def compiled_objective(model: LanguageModel) -> Objective:
    """Make an objective like model.objective of a model in training mode, through compiled blocks.

    What cannot be compiled in its forward pass runs as it is; where a backward pass cannot, the first step raises.
    A front end or a head of the layout's own is not compiled.
    """

    def objective(ids_BT: Tensor, targets_BT: Tensor) -> tuple[Tensor, Penalty]:
        embed, compiled, head = programs()
        run, run_as_it_is = model.with_recompute(compiled), model.with_recompute(as_it_is)
        embedding_VD, p = model.embedding.weight, model.p_dropout
        stream_BND, leave = model.enter((embed if embedding_VD.requires_grad else _embed)(ids_BT, embedding_VD, p))
        mixed_BND = _nothing_mixed(stream_BND)
        penalties = []
        for block in model.blocks():
            if _trains(block):
                stream_BND, mixed_BND, penalty = run(block, _differentiable(stream_BND), _differentiable(mixed_BND))
            else:
                stream_BND, mixed_BND, penalty = run_as_it_is(block, stream_BND, mixed_BND)
            penalties.append(penalty)
        if model.front is None and model.head is None:
            last = head if embedding_VD.requires_grad else _head
            loss = last(stream_BND, mixed_BND, model.norm.weight, embedding_VD, targets_BT, p)
        else:
            logits_BTV = model.logits(leave(stream_BND + F.dropout(mixed_BND, p)), ids_BT)
            loss = nats_per_token(logits_BTV, targets_BT)
        return loss, total(penalties)

    return objective


def _embed(ids_BT: Tensor, embedding_VD: Tensor, p_dropout: float) -> Tensor:
    return F.dropout(F.embedding(ids_BT, embedding_VD), p_dropout)


def as_it_is(block: Block, stream_BTD: Stream, mixed_BTD: Stream) -> tuple[Stream, Stream, Penalty]:
    """Run a block as one program does."""
    return block.open(stream_BTD + block.dropout(mixed_BTD))


def _head(
    stream_BTD: Tensor, mixed_BTD: Tensor, gain_D: Tensor, embedding_VD: Tensor, targets_BT: Tensor, p_dropout: float
) -> Tensor:
    stream_BTD = stream_BTD + F.dropout(mixed_BTD, p_dropout)
    return nats_per_token(logits_of(stream_BTD, gain_D, embedding_VD), targets_BT)


def _trains(block: Block) -> bool:
    return all(parameter.requires_grad for parameter in block.parameters())


def _nothing_mixed(stream_BTD: Tensor) -> Tensor:
    """Zeros, which the first block adds to the stream, of the type that a mixer's products have."""
    device = stream_BTD.device.type
    narrow = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else stream_BTD.dtype
    return torch.zeros_like(stream_BTD, dtype=narrow)


def _differentiable(x_BTD: Tensor) -> Tensor:
    """Give an input a gradient, also where nothing below trains: else the block's program would be another one."""
    return x_BTD if x_BTD.requires_grad else x_BTD.detach().requires_grad_()


def lacking_to_compile(device: torch.device) -> str:
    """Name the thing that this machine lacks to compile for the device, or ''.

    Compiles something small, once in a process, as torch would find out in the middle of a trial: that loads the
    compiler, which takes seconds. Raises torch.OutOfMemoryError where others fill the device.
    """
    _keep_programs_in_cache()
    if device.type == "cpu" and not _has_cpp_compiler():
        return f"a C++ compiler; there is no {os.environ.get('CXX', 'g++')!r} (see CXX)"
    if device.type == "cuda" and find_spec("triton") is None:
        return "the package triton"
    named = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    if device.type == "cuda" and not any(map(shutil.which, named)):
        return f"a C compiler; there is no {' or '.join(map(repr, named))} (see CC)"
    if device.type == "cuda" and not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's headers; there is no Python.h"
    return _trouble(device)


@cache
def _trouble(device: torch.device) -> str:
    """Run a small program and name its fault, or ''."""
    try:
        _, run, _ = programs()
        block = build_block(complete_block(BlockSpec("mlp"), 8), 8, max_depth=1, dropout=0.0).to(device)
        x_BTD = torch.zeros(1, 2, 8, device=device, requires_grad=True)
        with torch._dynamo.config.patch(suppress_errors=False):
            stream_BTD, mixed_BTD, _ = run(block, x_BTD, x_BTD)
            (stream_BTD + mixed_BTD).sum().backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # of a compiler, a driver, a disk or a library that does not fit
        if is_of_device(error):
            raise
        return f"a compiler that works; {type(error).__name__}: {first_line(str(error).strip())}"
    return ""


def _has_cpp_compiler() -> bool:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True


def _keep_programs_in_cache() -> None:
    """Name the cache before anything of the compiler is imported, which else chooses a folder itself."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir() / "compiled"))


@cache
def programs() -> tuple[Embed, Run, Head]:
    """Compile _embed, as_it_is and _head for every shape that they meet. Not at import: it would load the compiler."""
    _keep_programs_in_cache()
    warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")  # the compiler looks at it
    warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")  # which it advises; fp32 is fp32
    warnings.filterwarnings("ignore", r"\s*Online softmax is disabled")  # of moe's few experts
    warnings.filterwarnings("ignore", "Torchinductor does not support code generation for complex")  # of ssm's FFT
    warnings.filterwarnings("ignore", r".*_prims_common\.check", FutureWarning)  # its own lowering of a diagonal
    from torch._dynamo import config
    from torch._functorch import config as autograd_config

    autograd_config.backward_pass_autocast = "off"  # as backward() is called outside of it
    config.suppress_errors = True
    config.recompile_limit = config.accumulated_recompile_limit = _MOST
    for function in (*NEVER_CHANGING, is_open):
        torch.compiler.assume_constant_result(function)  # type: ignore[no-untyped-call]
    return tuple(torch.compile(part, dynamic=False) for part in (_embed, as_it_is, _head))  # type: ignore[return-value]
