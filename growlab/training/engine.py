"""How a training step is executed: operation by operation, or as one recorded CUDA graph; and its blocks, as they are
or compiled.

    eager            Python launches every operation
    graph            steps are eager until one does not wait for the device, mostly the first; the next is recorded,
                     and from then on the whole step is one launch: forward, backward, clipping, update. A small
                     model's step is hundreds of kernels that each take less time than their launch.
    compiled         Python launches; what lies between the products of a block is fused (`compiled.py`)
    compiled-graph   both

A recorded step reads and writes the tensors that it was recorded with. Whatever changes which they are, or what
is computed (growth, freezing, thawing), must call `forget`; the step is then recorded anew. Dropout is right under
replay: the generator's offset moves on with each.

Source: Nguyen et al. 2021, "Accelerating PyTorch with CUDA Graphs".
"""

import os
import warnings
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Protocol

import torch
from jaxtyping import Int
from torch import Tensor

from growlab.errors import UsageError
from growlab.training.compiled import lacking_to_compile
from growlab.training.device import free_much_memory
from growlab.training.recording import recording

Compute = Callable[..., None]  # one step of training, from its inputs

COMPILE_FROM = 1000  # steps of a trial; compiling pays where trials share programs, which the cache keeps

WARM_UP = 3  # eager steps at most before recording: they load kernels, make the optimizer's state, may compile


class Execution(StrEnum):
    """The way in which the blocks of a step are computed and the step is launched."""

    EAGER = "eager"
    COMPILED = "compiled"
    GRAPH = "graph"
    COMPILED_GRAPH = "compiled-graph"

    @property
    def compiled(self) -> bool:
        return self in (Execution.COMPILED, Execution.COMPILED_GRAPH)

    @property
    def recorded(self) -> bool:
        return self in (Execution.GRAPH, Execution.COMPILED_GRAPH)

    @property
    def launched(self) -> "Execution":
        """This execution without recording."""
        return Execution.COMPILED if self.compiled else Execution.EAGER


class Engine(Protocol):
    """A way to execute training steps."""

    @property
    def name(self) -> str: ...

    @property
    def settled(self) -> bool:
        """Whether steps go at full speed: none is left to warm up or to record."""
        ...

    @property
    def held(self) -> int:
        """Bytes of the device that recordings keep to themselves, beside what tensors take of it."""
        ...

    def step(self, inputs: tuple[Int[Tensor, "..."], ...]) -> None: ...

    def forget(self) -> None:
        """Note that what a step computes, or on which tensors, is about to change."""
        ...


class EagerEngine:
    """An engine that launches each operation of a step from Python."""

    settled, held = True, 0

    def __init__(self, execution: Execution, compute: Compute) -> None:
        self.name = execution.value
        self._compute = compute

    def step(self, inputs: tuple[Int[Tensor, "..."], ...]) -> None:
        self._compute(*inputs)

    def forget(self) -> None:
        pass


class GraphEngine:
    """An engine that records a step; steps stay eager where all warm-ups wait for the device, as no graph can.

    What is recorded `beside` another engine's step computes in that one's memory: neither leaves anything there, and
    they never run at once. So it is not recorded before that step.
    """

    def __init__(
        self, execution: Execution, compute: Compute, device: torch.device, beside: "GraphEngine | None" = None
    ) -> None:
        self._execution, self._compute, self._device, self._beside = execution, compute, device, beside
        self._stream = _side_stream(torch.cuda.current_device() if device.index is None else device.index)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._warmed, self._ready, self.held = 0, False, 0
        self.can_record = True  # until steps are seen to wait for the device

    @property
    def name(self) -> str:
        return (self._execution if self.can_record else self._execution.launched).value

    @property
    def settled(self) -> bool:
        return self._graph is not None or not self.can_record

    def step(self, inputs: tuple[Int[Tensor, "..."], ...]) -> None:
        if self._graph is None and not (self._ready and (self._beside is None or self._beside.settled)):
            self._warm_up(inputs)
            return
        if self._graph is None:
            self._record(inputs)
        assert self._graph is not None
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given, non_blocking=True)
        self._graph.replay()

    def forget(self) -> None:
        if self._graph is not None:
            # a replay may still be under way in the memory that goes
            torch.cuda.current_stream(self._device).synchronize()
            self._graph.reset()
        self._graph, self._inputs, self._warmed, self._ready, self.can_record = None, (), 0, False, True
        self.held = 0

    def _warm_up(self, inputs: tuple[Tensor, ...]) -> None:
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                if self.can_record:
                    self._ready = not waits(lambda: self._compute(*inputs))
                    self._warmed += 1
                    self.can_record = self._ready or self._warmed < WARM_UP
                else:
                    self._compute(*inputs)
        finally:  # also where it ran out of memory: what this trial had is another one's soon
            current.wait_stream(self._stream)

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        beside = self._beside._graph if self._beside is not None else None
        free_much_memory(self._device)  # a recording has memory of its own
        graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        before = torch.cuda.memory_reserved(self._device)
        with recording(graph, self._stream, None if beside is None else beside.pool()):
            self._compute(*self._inputs)
        self._graph, self.held = graph, torch.cuda.memory_reserved(self._device) - before


@cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """The stream on which all steps are warmed up and recorded: memory and workspaces of a trial serve the next."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def waits(run: Callable[[], None]) -> bool:
    """Run a function and return whether the host waited for the GPU meanwhile. Other warnings go where they would."""
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                run()
            finally:
                torch.cuda.set_sync_debug_mode("default")
    finally:
        for other in caught:
            if not (_is_of_waiting(other) or "Synchronization debug mode" in str(other.message)):  # torch's of the mode
                warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return any(map(_is_of_waiting, caught))


def _is_of_waiting(warning: warnings.WarningMessage) -> bool:
    return "called a synchronizing" in str(warning.message)


def choose_execution(device: torch.device, n_steps: int) -> Execution:
    """Choose the execution of a trial of about `n_steps` steps: eager on a CPU, a graph on a CUDA device.

    The graph is of compiled blocks where a trial is long enough for that to pay and the machine can compile.

    GROWLAB_ENGINE names another one. Raises UsageError for another word, for a graph where there is no CUDA device, and
    for compiled where there is no compiler.
    """
    asked = os.environ.get("GROWLAB_ENGINE") or "auto"
    known = ("auto", *(execution.value for execution in Execution))
    if asked not in known:
        raise UsageError(f"GROWLAB_ENGINE must be one of {', '.join(known)}, got {asked!r}")
    if asked == "auto":
        return _usual_execution(device, n_steps)
    execution = Execution(asked)
    if execution is Execution.COMPILED_GRAPH and n_steps < COMPILE_FROM:
        execution = Execution.GRAPH
    if execution.recorded and device.type != "cuda":
        raise UsageError(f"GROWLAB_ENGINE={asked} needs a CUDA device, got {device}")
    if execution.compiled and (lacking := lacking_to_compile(device)):
        raise UsageError(f"GROWLAB_ENGINE={asked} needs {lacking}; or leave GROWLAB_ENGINE out")
    return execution


def _usual_execution(device: torch.device, n_steps: int) -> Execution:
    if device.type != "cuda":
        return Execution.EAGER
    # a compiler picks some kernels by their time, which is another one on another day
    if n_steps < COMPILE_FROM or torch.are_deterministic_algorithms_enabled():
        return Execution.GRAPH
    if lacking := lacking_to_compile(device):
        warnings.warn(f"trains without compiled blocks, which need {lacking}", stacklevel=2)
        return Execution.GRAPH
    return Execution.COMPILED_GRAPH


def engine_for(execution: Execution, compute: Compute, device: torch.device) -> Engine:
    return GraphEngine(execution, compute, device) if execution.recorded else EagerEngine(execution, compute)


def engine_beside(engine: Engine | None, compute: Compute, device: torch.device) -> Engine:
    """Choose an engine for a pass of its own, such as an evaluation, between the steps that `engine` executes."""
    if device.type != "cuda":
        return EagerEngine(Execution.EAGER, compute)
    return GraphEngine(Execution.GRAPH, compute, device, beside=engine if isinstance(engine, GraphEngine) else None)
