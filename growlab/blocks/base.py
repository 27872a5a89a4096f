"""The residual block x + dropout(mixer(norm(x))) and the contract of the mixer inside it.

Legend of shape suffixes: B batch, T tokens, D d_model.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from growlab.blocks.rms_norm import RMSNorm
from growlab.errors import PluginError
from growlab.kinds import KINDS, Cost
from growlab.layout import BlockSpec

State = tuple[Shaped[Tensor, "..."], ...]  # what a mixer carries from token to token; () for a channel mixer
Penalty = Float[Tensor, ""] | None  # what a mixer adds to the training loss, weighed already; None for nothing

NORM_EPS = 1e-6

Constant = TypeVar("Constant", bound=Callable[..., object])
NEVER_CHANGING: list[Callable[..., object]] = []


class Mixer(nn.Module, ABC):
    """One kind of block, without norm and residual.

    Contract, tested for every registered kind: causal; `advance` over any split of a sequence equals
    `forward` over the whole; every parameter receives a gradient; two instances of one spec have equal
    names and shapes; with its out-projections zero the output is zero.
    """

    out_proj: nn.Linear  # its last product; a mixer that has others overrides `out_projections`
    p_dropout = 0.0  # of what a mixer drops inside itself, when it is trained; the block drops of its output

    def __init__(self, d_model: int, options: object) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Mix all tokens at once, from an empty state."""

    def forward_with_penalty(self, x_BTD: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], Penalty]:
        """Run `forward` as in training; return its output and what is added to the loss, but to no reported one."""
        return self(x_BTD), None

    def metrics(self, x_BTD: Float[Tensor, "B T D"]) -> dict[str, Float[Tensor, ""]]:
        """Scalars worth a row about how these tokens were treated, such as the load of experts, by name."""
        return {}

    def out_projections(self) -> list[nn.Parameter]:
        """The matrices whose vanishing makes the output zero."""
        return [cast(nn.Parameter, self.out_proj.weight)]

    def initial_state(self, batch: int) -> State:
        """The state before the first token, on the mixer's device and in its dtype."""
        return ()

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        """Mix the next T ≥ 1 tokens, going on from `state`. As it stands: a mixer that sees one token at a time."""
        return self(x_BTD), state

    def absorb(self, x_BTD: Float[Tensor, "B T D"], state: State) -> State:
        """The state after tokens whose output nobody reads: that of `advance`, for less where a mixer can."""
        return self.advance(x_BTD, state)[1] if state else state


@runtime_checkable
class Plastic(Protocol):
    """A mixer with the option `plasticity`, α in (0, 1], which a training may change as it goes."""

    def set_plasticity(self, plasticity: float) -> None:
        """Take this α by filling a tensor in place: a recorded or compiled step goes on reading it."""
        ...


class Block(nn.Module):
    """The residual block x + dropout(mixer(norm(x))); RMSNorm in fp32 because the residual stream is."""

    def __init__(self, spec: BlockSpec, mixer: Mixer, d_model: int, dropout: float) -> None:
        super().__init__()
        self.spec = spec
        self.norm = RMSNorm(d_model, eps=NORM_EPS)
        self.mixer = mixer
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        mixed: Tensor = self.dropout(self.mixer(self.norm(x_BTD)))
        return x_BTD + mixed

    def forward_with_penalty(self, x_BTD: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], Penalty]:
        stream_BTD, mixed_BTD, penalty = self.open(x_BTD)
        return stream_BTD + self.dropout(mixed_BTD), penalty

    def open(self, x_BTD: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T D"], Penalty]:
        """Run all but the last dropout and residual sum, which whoever is next may fuse with what is his.

        Returns the stream, what is to be dropped of and added to it, and the penalty.
        """
        return x_BTD, *self.mixer.forward_with_penalty(self.norm(x_BTD))

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        mixed, state = self.mixer.advance(self.norm(x_BTD), state)
        return x_BTD + self.dropout(mixed), state

    def initial_state(self, batch: int) -> State:
        return self.mixer.initial_state(batch)

    def out_projections(self) -> list[nn.Parameter]:
        return self.mixer.out_projections()

    def norm_gains(self) -> list[nn.Parameter]:
        """The gains of its own norm, and of whole blocks that it holds."""
        norms = [module.norm for module in self.modules() if isinstance(module, Block)]
        return [norm.weight for norm in norms if isinstance(norm, RMSNorm)]

    def set_plasticity(self, plasticity: float) -> None:
        """Set the α of the mixer and of what it holds, from the next token on; the spec then names it.

        Others stay as they are.
        """
        for module in self.mixer.modules():
            if isinstance(module, Plastic):
                module.set_plasticity(plasticity)
        self.spec = _with_plasticity(self.spec, plasticity)


class StreamMixer(Mixer):
    """A nest whose blocks act on the residual stream itself, with norms, residual sums and dropout of their own."""

    @abstractmethod
    def open(self, x_BTD: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T D"], Penalty]:
        """Run all but the last dropout and residual sum, as Block.open does."""

    @abstractmethod
    def advance_stream(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        """Make the stream behind the last block of the next T ≥ 1 tokens, going on from `state`."""


class StreamBlock(Block):
    """A block around a StreamMixer: nothing of its own but the last dropout."""

    mixer: StreamMixer

    def __init__(self, spec: BlockSpec, mixer: StreamMixer, d_model: int, dropout: float) -> None:
        super().__init__(spec, mixer, d_model, dropout)
        self.norm = nn.Identity()  # type: ignore[assignment]

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.forward_with_penalty(x_BTD)[0]

    def open(self, x_BTD: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T D"], Penalty]:
        return self.mixer.open(x_BTD)

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        return self.mixer.advance_stream(x_BTD, state)


def _with_plasticity(spec: BlockSpec, plasticity: float) -> BlockSpec:
    options = dict(spec.options)
    if "plasticity" in KINDS[spec.kind].option_fields():
        options["plasticity"] = plasticity
    changed = replace(spec, options=tuple(sorted(options.items())))
    return changed.with_inner([_with_plasticity(inner, plasticity) for inner in spec.inner])


def build_block(spec: BlockSpec, d_model: int, *, max_depth: int, dropout: float) -> Block:
    """Build a freshly initialised block.

    Raises UnknownName, LayoutError, and PluginError for a kind that breaks its contract.

    Matrices are N(0, 1 / (3·fan_in)); out-projections are smaller by √max_depth, so that the residual
    stream's variance does not depend on when a block enters. `max_depth` is the depth that growth may
    reach, not today's: a block's initialisation must not depend on the moment of its birth.
    """
    return _build(spec, d_model, max_depth, p_mixer=dropout, p_block=dropout)


def block_around(spec: BlockSpec, held: Sequence[Block], d_model: int, dropout: float) -> Block:
    """Build a block of a kind without weights of its own around blocks that there are already; the spec names them."""
    kind = KINDS[spec.kind]
    assert kind.on_stream, f"{spec.kind} has weights of its own"
    mixer = kind.mixer(d_model, kind.read_options(spec, d_model), [held])
    mixer.p_dropout = dropout
    return StreamBlock(spec, mixer, d_model, dropout)


def _build(spec: BlockSpec, d_model: int, max_depth: int, *, p_mixer: float, p_block: float) -> Block:
    """Build a block that drops of its output at the rate `p_block`, and whose mixers do inside at `p_mixer`."""
    on_stream = KINDS[spec.kind].on_stream
    mixer = build_mixer(spec, d_model, max_depth=max_depth, dropout=p_mixer, p_held=p_block if on_stream else 0.0)
    return (StreamBlock if on_stream else Block)(spec, mixer, d_model, p_block)  # type: ignore[arg-type]


def build_mixer(spec: BlockSpec, d_model: int, *, max_depth: int, dropout: float, p_held: float = 0.0) -> Mixer:
    """Build a block's mixer, and in it those of what it holds.

    Whole blocks in it drop of their outputs at the rate `p_held`: not at all where the block around them does.
    """
    kind = KINDS[spec.kind]
    options = kind.read_options(spec, d_model)
    held: set[nn.Module] = set()
    if kind.nesting is None:
        mixer: Mixer = kind.mixer(d_model, options)
    else:
        whole = kind.nesting.whole
        branches = [
            [
                _build(inner, d_model, max_depth, p_mixer=dropout, p_block=p_held)
                if whole
                else build_mixer(inner, d_model, max_depth=max_depth, dropout=dropout)
                for inner in branch
            ]
            for branch in spec.branches
        ]
        held = {module for branch in branches for inner in branch for module in inner.modules()}
        mixer = kind.mixer(d_model, options, branches)
    for module in mixer.modules():
        if isinstance(module, nn.Linear) and module not in held:
            nn.init.normal_(module.weight, std=1 / math.sqrt(3 * module.in_features))
    if kind.nesting is None:
        for weight in mixer.out_projections():
            weight.data.div_(math.sqrt(max_depth))
    mixer.p_dropout = dropout
    _require_contract(spec.kind, mixer, mixer_cost(spec, d_model, 1))
    return mixer


def _require_contract(kind: str, mixer: Mixer, cost: Cost) -> None:
    """Raise PluginError where a mixer from outside breaks what checkpoints, exports and searches rely on."""
    parameters = {name: parameter.numel() for name, parameter in mixer.named_parameters()}
    if extra := sorted(mixer.state_dict().keys() - parameters.keys()):
        raise PluginError(
            f"block kind {kind!r} has the buffer {extra[0]!r}, which no checkpoint would hold; make it a parameter, "
            "compute it when it is needed, or register it with persistent=False if it never changes"
        )
    if (n_params := sum(parameters.values())) != cost.n_params:
        raise PluginError(f"block kind {kind!r} has {n_params} parameters, but its cost function says {cost.n_params}")


def _checked_cost(kind: str, cost: Callable[..., object], *of: object) -> Cost:
    """Call a kind's cost function. Raises PluginError where one from outside fails or returns something else."""
    try:
        returned = cost(*of)
    except Exception as error:
        raise PluginError(
            f"the cost function of block kind {kind!r} raised {type(error).__name__}: {error}; correct it"
        ) from error
    if not isinstance(returned, Cost):
        raise PluginError(
            f"the cost function of block kind {kind!r} must return a growlab.kinds.Cost, got {returned!r}"
        )
    return returned


def block_cost(spec: BlockSpec, d_model: int, seq_len: int) -> Cost:
    """The cost of a whole block: its mixer, its norm and its residual sum."""
    mixer = mixer_cost(spec, d_model, seq_len)
    if KINDS[spec.kind].on_stream:  # which has no norm
        return mixer
    return replace(
        mixer,
        n_params=mixer.n_params + d_model,
        activations=mixer.activations + 2 * seq_len * d_model,  # the norm's input and output
    )


def mixer_cost(spec: BlockSpec, d_model: int, seq_len: int) -> Cost:
    """The cost of a block without its norm and its residual sum."""
    kind = KINDS[spec.kind]
    of: list[object] = [d_model, kind.read_options(spec, d_model), seq_len]
    if kind.nesting:
        held = block_cost if kind.nesting.whole else mixer_cost
        of.append([[held(inner, d_model, seq_len) for inner in branch] for branch in spec.branches])
    cost = _checked_cost(spec.kind, kind.cost, *of)
    for name, value in vars(cost).items():  # a budget in FLOPs that are NaN would never be spent
        if not isinstance(value, int) or value < 0:
            raise PluginError(f"the cost of block kind {spec.kind!r}: {name} must be a whole number ≥ 0, got {value!r}")
    return cost


def never_changing(function: Constant) -> Constant:
    """Decorator of a module's function whose result depends on its arguments alone: a compiler may keep it."""
    NEVER_CHANGING.append(function)
    return function


def total(penalties: Iterable[Penalty]) -> Penalty:
    """The sum of all penalties; None where there is none."""
    some = [penalty for penalty in penalties if penalty is not None]
    return torch.stack(some).sum() if some else None


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Compute within in the dtypes that tensors have, as norms, rates and states want it.

    A program that torch.export records is under no autocast, and could not be saved with a recurrence under one.
    """
    return nullcontext() if torch.compiler.is_exporting() else torch.autocast(device.type, enabled=False)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype, or fp32 if that is wider: what norms, rotations, rates and states are computed in."""
    return torch.promote_types(dtype, torch.float32)
