"""Source files as definitions: where a name is defined, and what is left of a definition outside growlab.

Left out are decorators that register, the shapes of annotations (which jaxtyping checks, and which the names of
variables say again), declarations of what a search may draw, and methods that nobody calls.
"""

import ast
import importlib
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from growlab.errors import PluginError
from growlab.export.huggingface.names import global_names

SHAPED = "jaxtyping"
REGISTERING = frozenset({"register_block", "register_nest", "register_part", "never_changing"})
_TYPE_IGNORED = re.compile(rb"[ ]*# type: ignore(\[[^]\n]*\])?")


class Place(NamedTuple):
    """Where something is defined."""

    module: str
    name: str


class Import(NamedTuple):
    """What comes from a package: `from module import name as local`; without a name the module itself."""

    module: str
    name: str
    local: str


Origin = Place | Import | None  # None: of Python itself


class Edit(NamedTuple):
    """Bytes of a file to be replaced."""

    begin: int
    end: int
    text: bytes


@dataclass
class Definition:
    """A statement at the top of a file, as far as it is kept."""

    node: ast.stmt
    members: frozenset[str]  # of a class
    edits: list[Edit]

    @cached_property
    def names(self) -> list[ast.Name]:
        """The nodes that read a name of the file."""
        return global_names(self.node)

    def attributes(self) -> set[str]:
        """The names that are asked of some object."""
        return {node.attr for node in ast.walk(self.node) if isinstance(node, ast.Attribute)}

    def bound(self) -> set[str]:
        """All names that it binds, wherever: parameters, locals, its own."""
        names = [node for node in ast.walk(self.node) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        return {node.id for node in names} | {node.arg for node in ast.walk(self.node) if isinstance(node, ast.arg)}


class SourceFile:
    """A module's text and what it defines and imports at its top."""

    def __init__(self, module: str, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        self.module, self.text = module, text.encode()
        self.name = module if module.split(".")[0] == "growlab" else str(path)  # for people
        self.tree = ast.parse(text)
        self.statements: dict[str, ast.stmt] = {}
        self.imports: dict[str, Import] = {}
        self._line_starts = [0]
        for line in self.text.splitlines(keepends=True):
            self._line_starts.append(self._line_starts[-1] + len(line))
        for statement in self.tree.body:
            self.statements.update(dict.fromkeys(_defined_by(statement), statement))
            self.imports.update({found.local: found for found in _imported_by(statement)})

    @property
    def docstring(self) -> str:
        return ast.get_docstring(self.tree) or ""

    def offset(self, line: int, column: int) -> int:
        return self._line_starts[line - 1] + column

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset)

    def lines_of(self, node: ast.stmt) -> tuple[int, int]:
        """The bytes of whole lines: a statement with its decorators and the comment right above it."""
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        while self._is_comment(first - 1):
            first -= 1
        assert node.end_lineno is not None
        return self.offset(first, 0), self.offset(node.end_lineno + 1, 0)

    def _is_comment(self, line: int) -> bool:
        begin, end = self._line_starts[line - 1 : line + 1] if line > 0 else (0, 0)
        text = self.text[begin:end].strip()
        return text.startswith(b"#") and not text.startswith(b"# ----")

    def kept(self, statement: ast.stmt, members: Collection[str]) -> Definition:
        """What is left of a statement; of a class these members."""
        pruner = _Pruner(self, members)
        node = pruner.visit(_copied(statement))
        return Definition(node, frozenset(members), pruner.edits)

    def rendered(self, definition: Definition, statement: ast.stmt, renaming: list[Edit]) -> str:
        """The text of what is kept, with names of its new place."""
        begin, end = self.lines_of(statement)
        text = b""
        for edit in sorted([*definition.edits, *renaming]):
            text += self.text[begin : edit.begin] + edit.text
            begin = edit.end
        text = _TYPE_IGNORED.sub(b"", text + self.text[begin:end])
        return re.sub(r"\n{3,}", "\n\n", text.decode()).strip("\n")


@dataclass
class Alive:
    """Which members of classes are kept: those that somebody asks for, and those that a base from outside calls."""

    attributes: set[str] = field(default_factory=set)
    left_out: Collection[tuple[Place, str]] = ()  # members of classes that are never kept
    whole: Collection[str] = ()  # modules of whose classes all is kept

    def members(self, file: SourceFile, statement: ast.stmt) -> frozenset[str]:
        """The members of a class that are kept; () of anything else."""
        if not isinstance(statement, ast.ClassDef):
            return frozenset()
        named = frozenset(name for inner in statement.body for name in _defined_by(inner))
        if file.module in self.whole:
            return named
        overridden = _members_of_foreign_bases(file.module, statement.name)
        left_out = {member for place, member in self.left_out if place == (file.module, statement.name)}
        special = {name for name in named if name.startswith("__") and name.endswith("__")}
        return (named & (self.attributes | overridden | special)) - left_out


class _Pruner(ast.NodeTransformer):
    """Takes out of a definition what only growlab needs, and notes which bytes these are."""

    def __init__(self, file: SourceFile, members: Collection[str]) -> None:
        self.file, self.members = file, members
        self.edits: list[Edit] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        body = []
        for statement in node.body:
            names = list(_defined_by(statement))
            is_field = isinstance(statement, ast.AnnAssign) and not _is_class_variable(statement)
            if not names or is_field or any(name in self.members for name in names):
                body.append(statement)
            else:
                self.edits.append(Edit(*self.file.lines_of(statement), b""))
        if not body:
            _, end = self.file.lines_of(node)
            self.edits.append(Edit(end, end, b"    pass\n"))
        node.body = body
        self._without_registering(node)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._without_registering(node)
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Float[Tensor, "B T D"] is a Tensor."""
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=[inner, _])):
                if (found := self.file.imports.get(name)) and found.module == SHAPED:
                    return self._inner(node, inner)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """A declared option is its default, under a comment of what it is."""
        match node.value:
            case ast.Call(func=ast.Name(id="option"), args=[default], keywords=keywords) as declared:
                self._comment(node, next(keyword.value for keyword in keywords if keyword.arg == "help"))
                node.value = self._inner(declared, default)
                return node
        return self.generic_visit(node)

    def _inner(self, outer: ast.expr, inner: ast.expr) -> ast.expr:
        (begin, end), (inner_begin, inner_end) = self.file.span(outer), self.file.span(inner)
        self.edits += [Edit(begin, inner_begin, b""), Edit(inner_end, end, b"")]
        visited: ast.expr = self.visit(inner)
        return visited

    def _comment(self, node: ast.stmt, help: ast.expr) -> None:
        if isinstance(help, ast.Constant) and isinstance(help.value, str):
            at = self.file.offset(node.lineno, 0)
            comment = f"{' ' * node.col_offset}# {help.value}\n"
            self.edits.append(Edit(at, at, comment.encode()))

    def _without_registering(self, node: ast.ClassDef | ast.FunctionDef) -> None:
        kept = []
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(called, ast.Name) and called.id in REGISTERING:
                assert decorator.end_lineno is not None
                begin, end = self.file.offset(decorator.lineno, 0), self.file.offset(decorator.end_lineno + 1, 0)
                self.edits.append(Edit(begin, end, b""))
            else:
                kept.append(decorator)
        node.decorator_list = kept


@cache
def source_file(module: str) -> SourceFile:
    """Read the file of a module. Raises PluginError for a module that has none."""
    loaded = sys.modules.get(module)
    path = getattr(loaded, "__file__", None) if loaded else _origin_of(module)
    if not path:
        raise PluginError(f"the source of {module} is not there, so what it defines cannot be exported")
    return SourceFile(module, Path(path))


def _origin_of(module: str) -> str | None:
    """The file of a module that is not loaded: transformers would be, with the model for it."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec else None


def _copied(node: Any) -> Any:
    """A copy of a tree with its places in the text; ten times as fast as copy.deepcopy."""
    if isinstance(node, list):
        return [_copied(item) for item in node]
    if not isinstance(node, ast.AST):
        return node
    copied = type(node)(**{name: _copied(value) for name, value in ast.iter_fields(node)})
    return ast.copy_location(copied, node)


def _defined_by(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _imported_by(statement: ast.stmt) -> Iterator[Import]:
    match statement:
        case ast.Import(names=names):
            for alias in names:
                yield Import(alias.name, "", alias.asname or alias.name)
        case ast.ImportFrom(module=str(module), names=names, level=0):
            for alias in names:
                yield Import(module, alias.name, alias.asname or alias.name)


def _is_class_variable(node: ast.AnnAssign) -> bool:
    return "ClassVar" in ast.dump(node.annotation)


@cache
def _members_of_foreign_bases(module: str, name: str) -> frozenset[str]:
    """The names that bases of a class from other packages have: what overrides them is called from there."""
    found = getattr(importlib.import_module(module), name)
    foreign = [base for base in found.__mro__ if base.__module__.split(".")[0] not in ("growlab", found.__module__)]
    return frozenset(member for base in foreign if base is not object for member in dir(base))
