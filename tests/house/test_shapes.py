"""The shapes in annotations, which nobody reads to Python until a type checker is on."""

import ast
from collections.abc import Iterator
from pathlib import Path

DTYPES = {"Bool", "Float", "Int", "Integer", "Num", "Shaped", "UInt8"}


def shapes(file: Path) -> Iterator[str]:
    """Those of `Float[Tensor, "B T D"]` and its like, wherever they stand."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=[_, ast.Constant(value=str(shape))])):
                if name in DTYPES:
                    yield shape


def is_dimension(text: str) -> bool:
    """A name, a number or a sum of them as Python writes it, behind jaxtyping's marks for any number of dimensions."""
    try:
        ast.parse(text.lstrip("*#_?") or "_", mode="eval")
    except SyntaxError:
        return False
    return True


def test_every_shape_in_the_package_is_one_that_can_be_checked(repository: Path) -> None:
    found = {(file.name, shape) for file in (repository / "growlab").rglob("*.py") for shape in shapes(file)}

    wrong = {(file, shape) for file, shape in found if not all(map(is_dimension, shape.split()))}

    assert {"B T D", "B N-1 H 2*W E", "*batch C", "..."} <= {shape for _, shape in found}
    assert wrong == set()


def test_a_product_without_its_sign_is_none() -> None:
    assert not is_dimension("2W")
