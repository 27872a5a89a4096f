"""A mixer that is made of others: what mix, router, act and loop share."""

from collections.abc import Sequence
from itertools import islice

from torch import nn

from growlab.blocks.base import Block, Mixer, State
from growlab.kinds import Cost

Held = Mixer | Block


class Nest(Mixer):
    """A mixer made of others. It has no out-projection of its own: those of what it holds make its output zero.

    Its state is the states of what it holds, one behind the other.
    """

    def __init__(self, d_model: int, options: object, branches: Sequence[Sequence[Held]]) -> None:
        super().__init__(d_model, options)
        self.inner = nn.ModuleList(held for branch in branches for held in branch)
        self._n_states = [len(held.initial_state(1)) for held in self.held]

    @property
    def held(self) -> list[Held]:
        return list(self.inner)  # type: ignore[arg-type]

    def out_projections(self) -> list[nn.Parameter]:
        return [weight for held in self.held for weight in held.out_projections()]

    def initial_state(self, batch: int) -> State:
        return tuple(tensor for held in self.held for tensor in held.initial_state(batch))

    def states(self, state: State) -> list[State]:
        """Split the state into those of each mixer or block that it holds."""
        tensors = iter(state)
        return [tuple(islice(tensors, n)) for n in self._n_states]


def joined(states: Sequence[State]) -> State:
    """Join states into one; the inverse of Nest.states."""
    return tuple(tensor for state in states for tensor in state)


def sum_of(costs: Sequence[Sequence[Cost]]) -> Cost:
    """The cost of all branches together."""
    flat = [cost for branch in costs for cost in branch]
    return Cost(**{name: sum(getattr(cost, name) for cost in flat) for name in vars(flat[0])})
