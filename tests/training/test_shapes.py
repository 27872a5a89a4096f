"""A trial keeps to the shapes that the functions of all rooms name: here they are all checked while it trains."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
import torch
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped

from growlab.blocks import build_block
from growlab.kinds import complete_block
from growlab.layout import BlockSpec
from growlab.specs import TrialSpec
from growlab.training.compiled import as_it_is


@pytest.fixture
def checked_everywhere(
    tensor_rooms: tuple[str, ...], checking_shapes: Callable[..., AbstractContextManager[None]]
) -> Iterator[None]:
    with ExitStack() as stack:
        for room in tensor_rooms:
            stack.enter_context(checking_shapes(room))
        yield


def test_a_trial_that_grows_keeps_to_the_shapes_of_all_rooms(
    checked_everywhere: None, make_spec: Callable[..., TrialSpec], new_trial: Callable
) -> None:
    trial = new_trial(make_spec(layout="d=16 attn[n_heads=2] mlp", steps=20))

    assert trial.attempt(stop_at=12) is None
    assert trial.attempt() is not None

    assert len(trial.recorder.growths) == 1


def test_what_a_program_does_is_checked_before_a_compiler_sees_it() -> None:
    """Alone, as checks around it would be compiled."""
    checked = jaxtyped(as_it_is, typechecker=beartype)
    block = build_block(complete_block(BlockSpec("mlp"), 8), 8, max_depth=1, dropout=0.0)
    x_BTD = torch.zeros(2, 3, 8)

    stream_BTD, mixed_BTD, _ = checked(block, x_BTD, x_BTD)

    assert stream_BTD.shape == mixed_BTD.shape == x_BTD.shape
    with pytest.raises(TypeCheckError, match="mixed_BTD"):
        checked(block, x_BTD, x_BTD[:, 1:])
