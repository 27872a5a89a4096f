"""Which names in a piece of code are those of its module: neither parameters nor locals."""

import ast
from collections.abc import Iterator, Sequence

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def global_names(node: ast.AST) -> list[ast.Name]:
    """The nodes that read a name of the module, or of Python itself, in the order of the code."""
    finder = _Finder()
    finder.visit(node)
    return finder.found


class _Finder(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: list[ast.Name] = []
        self._bound: list[set[str]] = []  # by the functions and comprehensions around

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and not any(node.id in names for names in self._bound):
            self.found.append(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node, node.body, [*node.decorator_list, *_annotations(node)])

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_function(node, [node.body], [])

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._visit_comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._visit_comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._visit_comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_comprehension(node)

    def _visit_function(self, node: _Function, body: Sequence[ast.AST], outside: Sequence[ast.expr]) -> None:
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        for expression in (*outside, *defaults):
            self.visit(expression)
        arguments = node.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        self._visit_within({argument.arg for argument in named if argument} | set(_bound_in(body)), body)

    def _visit_comprehension(self, node: _Comprehension) -> None:
        bound = {name for generator in node.generators for name in _bound_in([generator.target])}
        self._visit_within(bound, list(ast.iter_child_nodes(node)))

    def _visit_within(self, bound: set[str], body: Sequence[ast.AST]) -> None:
        self._bound.append(bound)
        for part in body:
            self.visit(part)
        self._bound.pop()


def _annotations(node: ast.FunctionDef) -> list[ast.expr]:
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    annotations = [argument.annotation for argument in named if argument]
    return [annotation for annotation in (*annotations, node.returns) if annotation]


def _bound_in(body: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the names that a body binds itself: not those of functions, classes and comprehensions within."""
    for node in body:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, _Comprehension):
            yield from (inner.target.id for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        elif not isinstance(node, ast.Lambda):
            yield from _bound_in(list(ast.iter_child_nodes(node)))
