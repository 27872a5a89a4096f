"""One block alone: both of its passes as training makes them, timed, and the memory that they take.

Legend: B batch, T tokens, D d_model.
"""

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from growlab.blocks import Block, block_cost, build_block
from growlab.kernels import closed_doors
from growlab.layout import BlockSpec
from growlab.training.compiled import Run, as_it_is, programs
from growlab.training.device import autocast, begin_peak, free_memory, peak_memory
from growlab.training.engine import WARM_UP, Engine, Execution, engine_for
from growlab.training.recording import broke_off
from growlab.training.timing import seconds

BYTES = 4  # of a number: weights, the residual stream and their gradients are fp32
FUSED = {"rms_norm"}  # kernels that a compiler needs not, as it fuses their work with what is around it
Step = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Passes:
    """What both passes of a block took."""

    forward_s: tuple[float, ...]  # mean of the passes of each round; what the backward pass needs is kept
    both_s: tuple[float, ...]
    peak_bytes: int | None  # with weights, the stream and their gradients; None where the device does not say
    engine: str


@dataclass(frozen=True, kw_only=True)
class Passing:
    """A block to measure, where and how."""

    spec: BlockSpec  # complete
    d_model: int
    batch_size: int
    seq_len: int
    precision: str  # train.precision
    execution: Execution
    by_definitions: bool = False

    def doors(self) -> AbstractContextManager[None]:
        return closed_doors() if self.by_definitions else nullcontext()


def time_passes(passing: Passing, device: torch.device, *, n_steps: int, n_rounds: int) -> Passes:
    """Make `n_rounds` rounds of `n_steps` passes forwards and back, and as many forwards alone.

    Raises what torch raises where memory is short.
    """
    gc.collect()  # what failed before is held by its error until now
    free_memory(device)
    held = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    begin_peak(device)
    with passing.doors():
        forward, both = _steps(passing, device)
        both_s, engine = _timed(passing.execution, both, device, n_steps, n_rounds)
        peak = peak_memory(device, engine.held)
        engine.forget()
        forward_s, another = _timed(passing.execution, forward, device, n_steps, n_rounds)
        another.forget()
    return Passes(
        forward_s=forward_s, both_s=both_s, peak_bytes=None if peak is None else peak - held, engine=engine.name
    )


def kernels_of(passing: Passing, device: torch.device) -> list[str]:
    """Names of growlab's operators that the block calls where doors are open, and not where they are closed."""
    called = []
    for doors in (nullcontext(), closed_doors()):
        block, stream_BTD, mixed_BTD = _inputs(passing, device)
        with doors, autocast(passing.precision, device), _Called() as operators:
            as_it_is(block, stream_BTD, mixed_BTD)
        called.append(operators.names)
    return sorted(called[0] - called[1] - (FUSED if passing.execution.compiled else set()))


def pass_flops(passing: Passing) -> int:
    """FLOPs of both passes: the gradients of inputs and of weights are each as dear as the pass forwards."""
    cost = block_cost(passing.spec, passing.d_model, passing.seq_len)
    return passing.batch_size * (cost.flops + 2 * (cost.flops - cost.constant_flops))


def pass_bytes(passing: Passing) -> int:
    """Bytes that both passes must move at least: the stream and its gradient in and out, weights twice, gradients once.

    What is kept for the backward pass is not in it, as a kernel may compute it again.
    """
    n_params = block_cost(passing.spec, passing.d_model, passing.seq_len).n_params
    return BYTES * (4 * passing.batch_size * passing.seq_len * passing.d_model + 3 * n_params)


class _Called(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which of growlab's operators are called, and FlashAttention by itself."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "growlab" or func is torch.ops.aten._flash_attention_forward.default:  # as windows call it
            self.names.add(func.name().partition("::")[2].strip("_").removesuffix("_kernel"))
        return func(*args, **(kwargs or {}))


def _inputs(passing: Passing, device: torch.device) -> tuple[Block, Float[Tensor, "B T D"], Float[Tensor, "B T D"]]:
    """A new block, the stream, and what the block before it left to be added, here nothing."""
    torch.manual_seed(0)
    block = build_block(passing.spec, passing.d_model, max_depth=1, dropout=0.0).to(device)
    shape = passing.batch_size, passing.seq_len, passing.d_model
    stream_BTD = torch.randn(shape, device=device, requires_grad=True)
    with autocast(passing.precision, device):
        enabled = torch.is_autocast_enabled(device.type)
        dtype = torch.get_autocast_dtype(device.type) if enabled else torch.float32
    return block, stream_BTD, torch.zeros(shape, device=device, dtype=dtype, requires_grad=True)


def _steps(passing: Passing, device: torch.device) -> tuple[Step, Step]:
    """A pass forwards, and one there and back."""
    block, stream_BTD, mixed_BTD = _inputs(passing, device)
    grad_BTD = torch.randn_like(stream_BTD)
    run: Run = programs()[1] if passing.execution.compiled else as_it_is
    differentiable = [stream_BTD, mixed_BTD, *block.parameters()]

    def output() -> Tensor:
        with autocast(passing.precision, device):
            summed_BTD, out_BTD, _ = run(block, stream_BTD, mixed_BTD)
            return summed_BTD + out_BTD

    def forward() -> None:
        output()

    def both() -> None:
        for tensor in differentiable:
            tensor.grad = None
        torch.autograd.backward(output(), grad_BTD)

    return forward, both


def _timed(
    execution: Execution, step: Step, device: torch.device, n_steps: int, n_rounds: int
) -> tuple[tuple[float, ...], Engine]:
    """Seconds of a step in each round, and the engine that executed it."""
    engine = engine_for(execution.launched if broke_off() else execution, step, device)

    def steps(n: int) -> None:
        for _ in range(n):
            engine.step(())

    steps(WARM_UP + 2)
    return tuple(seconds(partial(steps, n_steps), device) / n_steps for _ in range(n_rounds)), engine
