"""What annotations say of shapes is so, for every kind: they are checked while a block reads, learns and decodes."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import FunctionType

import pytest
import torch
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped

import growlab.blocks


@pytest.fixture(scope="module", autouse=True)
def checked_annotations() -> Iterator[None]:
    """Of all functions and methods of growlab.blocks that speak of shapes."""
    with pytest.MonkeyPatch.context() as patch:
        for found in pkgutil.iter_modules(growlab.blocks.__path__, "growlab.blocks."):
            module = importlib.import_module(found.name)
            classes = [
                each for each in vars(module).values() if isinstance(each, type) and each.__module__ == found.name
            ]
            for owner in (module, *classes):
                for name, function in list(vars(owner).items()):
                    if (
                        isinstance(function, FunctionType)
                        and function.__module__ == found.name
                        and has_shapes(function)
                    ):
                        patch.setattr(owner, name, jaxtyped(function, typechecker=beartype))
        yield


def has_shapes(function: FunctionType) -> bool:
    return "jaxtyping" in repr([(type(each), each) for each in function.__annotations__.values()])


def test_every_kind_keeps_to_the_shapes_that_it_names(spec, block_of, tokens):
    block, x_BTD = block_of(spec), tokens(2, 19)

    y_BTD, _ = block.learn(x_BTD)
    state = block.initial_state(2)
    for part_BTD in x_BTD.split((11, 1, 7), dim=1):
        read_BTD, state = block.advance(part_BTD, state)
        block.mixer.absorb(part_BTD, state)

    assert y_BTD.shape == block(x_BTD).shape == x_BTD.shape
    assert read_BTD.shape == (2, 7, 32)
    assert all(value.shape == () for value in block.mixer.measures(x_BTD).values())


def test_a_wrong_shape_is_noticed_here():
    with pytest.raises(TypeCheckError, match=r"growlab\.blocks\.swa\.chunks"):
        growlab.blocks.swa.chunks(torch.zeros(3, 4, 5), 2)
