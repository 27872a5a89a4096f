"""The one file of an export holds what its layout needs, from growlab's own source, and nothing of growlab's."""

import ast
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent

import pytest

from growlab.errors import PluginError
from growlab.export.huggingface.names import global_names
from growlab.export.huggingface.single_file import single_file
from growlab.kinds import KINDS, complete
from growlab.layout import parse
from growlab.plugins import load_plugins

LAYOUT = "swa hebbian mamba mlp"


@cache
def text_of(layout: str) -> str:
    return single_file(complete(parse(f"d=16 {layout}")))


def defined_in(text: str) -> set[str]:
    return {node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def imported_by(text: str) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = [node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in nodes]
    return {module.split(".")[0] for module in modules}


@pytest.fixture
def own_kinds() -> Iterator[None]:
    before = dict(KINDS)
    yield
    KINDS.reset(before)


def test_it_holds_the_kinds_of_its_layout_and_no_other() -> None:
    defined = defined_in(text_of(LAYOUT))

    assert {"Mamba", "MambaOptions", "Mlp", "Block", "GrowlabForCausalLM"} <= defined
    assert not {"GatedConv", "Moe", "Hopfield", "Nest", "StreamBlock", "Patch", "HebbianHead"} & defined


def test_it_imports_torch_and_transformers_and_python_alone() -> None:
    imported = imported_by(text_of("router(conv) head=hebbian_head"))

    assert imported == {
        *("torch", "transformers"),
        *("abc", "collections", "contextlib", "dataclasses", "functools", "itertools", "math", "typing"),
    }


def test_of_names_that_two_files_define_each_is_told_by_its_file() -> None:
    defined = defined_in(text_of(LAYOUT))

    assert {"decaying_memory_chunks", "_decaying_memory_handed_on", "_delta_memory_handed_on"} <= defined
    assert sum(name.endswith("_chunks") for name in defined) == 2
    assert not {"chunks", "_handed_on", "_definition"} & defined


def test_what_searches_costs_and_kernels_need_stays_behind() -> None:
    text = text_of(LAYOUT)

    for word in ("register_block", "Float[", "Cost(", "Door(", "option(", "type: ignore", "def metrics", "def check"):
        assert word not in text, word


def test_comments_and_docstrings_come_along() -> None:
    text = text_of(LAYOUT)

    assert "# ---- growlab.blocks.attn ---" in text
    assert "# query heads; d_model / n_heads must be even\n    n_heads: int = 4" in text
    assert '"""Apply rotary positions start … start + T - 1;' in text


def test_it_is_a_function_of_the_layout() -> None:
    assert single_file(complete(parse("d=16 conv mlp"))) == text_of("conv mlp")


def test_a_kind_from_a_plugin_comes_along(own_kinds: None, tmp_path: Path, repository: Path) -> None:
    load_plugins([Path(shutil.copy(repository / "docs" / "my_block.py", tmp_path / "shift_to_export.py"))])

    text = single_file(complete(parse("d=16 shift mlp")))

    assert {"TokenShift", "ShiftOptions"} <= defined_in(text)
    assert '"shift": Kind(TokenShift, ShiftOptions),' in text
    assert "growlab" not in imported_by(text)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            "        v_BTD, gate_BTD =",
            "        import math\n        v_BTD, gate_BTD =",
            "line 50: an import inside a",
        ),
        ("before_BTD = torch.cat", "before_BTD = torch.cat if there else torch.cat", "'there' is defined in no way"),
    ],
)
def test_a_kind_whose_source_cannot_be_taken_out_is_refused_with_the_place(
    own_kinds: None, tmp_path: Path, repository: Path, before: str, after: str, words: str
) -> None:
    file = tmp_path / f"shift_{len(after)}.py"
    file.write_text((repository / "docs" / "my_block.py").read_text().replace(before, after))
    load_plugins([file])

    with pytest.raises(PluginError, match=words):
        single_file(complete(parse("d=16 shift mlp")))


def test_names_of_a_module_are_told_from_parameters_and_locals() -> None:
    code = dedent(
        """
        def f(a: A, b=B, *c: C) -> D:
            d = e(a, [g for g in h if g], lambda i: i + j)
            with k as l, m() as n:
                return d + l + n + o[a:b] + (p := q) + p
        """
    )

    assert sorted(name.id for name in global_names(ast.parse(code).body[0])) == [*"ABCDehjkmoq"]
