"""The shapes in annotations, which nobody reads to Python until a type checker is on."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

from growlab.blocks import window_attention
from growlab.data import batches
from growlab.geometry import trajectory
from growlab.growth.window import Track
from growlab.model import language_model
from growlab.training import evaluation

DTYPES = {"Bool", "Complex", "Float", "Int", "Int64", "Integer", "Num", "Shaped", "UInt8"}

# which are being written anew; the last of them takes this line with it


def trees(repository: Path, rooms: Iterable[str]) -> Iterator[tuple[str, ast.Module]]:
    """The files of these rooms, by their path in the package."""
    package = repository / "growlab"
    for room in rooms:
        for file in (package / room).rglob("*.py"):
            yield file.relative_to(package).as_posix(), parsed(file)


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def shapes(tree: ast.AST) -> Iterator[str]:
    """Those of `Float[Tensor, "B T D"]` and its like, wherever they stand."""
    for node in ast.walk(tree):
        if (shape := shape_of(node)) is not None:
            yield shape


def shape_of(node: ast.AST) -> str | None:
    match node:
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=[_, ast.Constant(value=str(shape))])):
            return shape if name in DTYPES else None
    return None


def is_dimension(text: str) -> bool:
    """A name, a number or a sum of them as Python writes it, behind jaxtyping's marks for any number of dimensions."""
    try:
        ast.parse(text.lstrip("*#_?") or "_", mode="eval")
    except SyntaxError:
        return False
    return True


def test_every_shape_in_the_package_is_one_that_can_be_checked(repository: Path) -> None:
    found = {(file, shape) for file, tree in trees(repository, ["."]) for shape in shapes(tree)}

    wrong = {(file, shape) for file, shape in found if not all(map(is_dimension, shape.split()))}

    assert {"B T D", "B N-1 H 2*W E", "*batch C", "..."} <= {shape for _, shape in found}
    assert wrong == set()


def test_a_product_without_its_sign_is_none() -> None:
    assert not is_dimension("2W")


# ---- who names shapes -------------------------------------------------------------------------------------------


def without_shape(node: ast.AST) -> bool:
    """Whether an annotation speaks of a tensor and not of its shape."""
    if shape_of(node) is not None:
        return False
    match node:
        case ast.Name(id="Tensor") | ast.Attribute(attr="Tensor"):
            return True
        case ast.Constant(value=str(text)):  # quoted, as it stands before what it names
            return without_shape(ast.parse(text, mode="eval"))
    return any(map(without_shape, ast.iter_child_nodes(node)))


def public(body: list[ast.stmt]) -> Iterator[tuple[str, list[ast.expr | None]]]:
    """The name of each public function, or alias of a type, with the annotations of which it is made."""
    for node in body:
        match node:
            case ast.ClassDef(name=name, body=inside) if is_public(name):
                yield from ((f"{name}.{method}", annotations) for method, annotations in public(inside))
            case ast.FunctionDef(name=name, args=args, returns=returns) if is_public(name) or name == "__init__":
                taken = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
                yield name, [*(each.annotation for each in taken if each), returns]
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript() | ast.BinOp() as value):
                yield name, [value] if is_public(name) else []


def is_public(name: str) -> bool:
    return not name.startswith("_")


def test_every_public_function_that_takes_or_returns_a_tensor_says_its_shape(
    repository: Path, tensor_rooms: tuple[str, ...]
) -> None:
    silent = {
        (file, name)
        for file, tree in trees(repository, tensor_rooms)
        for name, annotations in public(tree.body)
        if any(without_shape(each) for each in annotations if each)
    }

    assert silent == set()


def test_a_tensor_is_without_shape_wherever_it_hides_in_an_annotation() -> None:
    def is_silent(annotation: str) -> bool:
        return without_shape(ast.parse(annotation, mode="eval"))

    assert is_silent("Tensor | None")
    assert is_silent("Callable[[int], dict[str, torch.Tensor]]")
    assert is_silent("'tuple[Tensor, State]'")
    assert not is_silent("tuple[Float[Tensor, 'B T'], int] | None")


def test_a_file_that_names_dimensions_has_a_legend_of_them(repository: Path, tensor_rooms: tuple[str, ...]) -> None:
    unexplained = {
        (file, name)
        for file, tree in trees(repository, tensor_rooms)
        for shape in shapes(tree)
        for name in re.findall(r"(?<!\*)\b[A-Za-z]+", shape)
        if not re.search(rf"\b{name}\b", (ast.get_docstring(tree) or "").partition("Legend")[2])
    }

    assert unexplained == set()


# ---- who is held to them ----------------------------------------------------------------------------------------

WRONG: dict[str, Callable[[], object]] = {
    "geometry": lambda: trajectory.tau(torch.zeros(2, 3)),
    "blocks": lambda: window_attention.chunks(torch.zeros(3, 4, 5), 2),
    "data": lambda: batches.n_predicted(torch.zeros(4, 5)),
    "model": lambda: language_model.nats_per_token(torch.zeros(2, 3, 7), torch.zeros(3, 2, dtype=torch.int64)),
    "growth": lambda: Track(torch.zeros(3), increments=[torch.zeros(3)]).append(torch.zeros(3, dtype=torch.int64)),
    "training": lambda: evaluation.summed(torch.zeros(3, 1), [1, 1, 1], answers=False),
}


def test_wrong_shapes_are_known_of_every_tensor_room(tensor_rooms: tuple[str, ...]) -> None:
    assert set(WRONG) == set(tensor_rooms)


@pytest.mark.parametrize("room", WRONG)
def test_the_tests_of_a_tensor_room_notice_a_wrong_shape(
    room: str, checking_shapes: Callable[..., AbstractContextManager[None]]
) -> None:
    with checking_shapes(room), pytest.raises(TypeCheckError, match=rf"checking the parameters of growlab\.{room}\."):
        WRONG[room]()
