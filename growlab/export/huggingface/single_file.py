"""One file that holds all that a layout needs, taken from growlab's own source: nothing of it is written twice.

What is needed is found from the model for transformers (modeling) and the kinds of the layout, definition by
definition; of a class those methods come along whose names somebody asks for. Where two files define one name, the
name of the file is put before it.
"""

import ast
import builtins
import textwrap
from collections import defaultdict
from collections.abc import Iterable

from growlab import __version__
from growlab.errors import PluginError
from growlab.export.huggingface.source import Alive, Definition, Edit, Import, Origin, Place, SourceFile, source_file
from growlab.kinds import KINDS, Kind
from growlab.layout import Layout, walk

_HERE = "growlab.export.huggingface"
_MODELING, _PLAIN = f"{_HERE}.modeling", f"{_HERE}.plain"
_DOOR, _ERRORS, _KINDS = Place("growlab.kernels.door", "Door"), "growlab.errors", Place(_MODELING, "KINDS")
_BLOCK, _STREAM_BLOCK = Place("growlab.blocks.base", "Block"), Place("growlab.blocks.base", "StreamBlock")
_PLAIN_FORMS = {
    Place("growlab.layout", "BlockSpec"): Place(_PLAIN, "BlockSpec"),
    Place("growlab.blocks.rms_norm", "rms_norm"): Place(_PLAIN, "rms_norm"),
    Place("growlab.blocks.attn", "fused_attention"): Place(_PLAIN, "fused_attention"),
    Place("growlab.blocks.any_length", "recurrence"): Place(_PLAIN, "recurrence"),
    Place("growlab.blocks.selective_scan", "selective_scan"): Place(_PLAIN, "selective_scan"),
}
_LEFT_OUT = frozenset({(_BLOCK, "set_plasticity")})  # of all that a block holds: a mixer's own is kept

_HEADER = '''\
"""A language model found by growlab {version}, for the package transformers.

    {layout}

    AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)

Generated from growlab's own source; it holds what this layout needs and no more, and it needs torch and transformers
alone. Letters at the end of a name are the axes of a tensor, by the legend of its part.

SPDX-License-Identifier: MIT
Copyright (c) 2026 The growlab authors
"""
'''


def single_file(layout: Layout) -> str:
    """Write the file for a complete layout. Raises PluginError for a kind from outside that cannot be taken out."""
    kinds = _kinds_of(layout)
    gathered = _Gathered({name: KINDS[name] for name in kinds})
    gathered.gather()
    return gathered.text(_HEADER.format(version=__version__, layout="\n    ".join(textwrap.wrap(str(layout), 110))))


def _kinds_of(layout: Layout) -> list[str]:
    specs = [*layout.blocks, *filter(None, (layout.front, layout.head))]
    return sorted({inner.kind for spec in specs for inner in walk(spec)})


class _Gathered:
    """The definitions that are needed, and what they need in turn."""

    def __init__(self, kinds: dict[str, Kind]) -> None:
        self.kinds = kinds
        self.alive = Alive(left_out=_LEFT_OUT, whole=(_MODELING, _PLAIN))
        self.needed: dict[Place, Definition] = {}
        self.imports: set[Import] = set()
        self._origins: dict[tuple[str, str], Origin] = {}

    # ---- what is needed -----------------------------------------------------------------------------------------

    def gather(self) -> None:
        """Take definitions until nothing more is needed: with more attributes alive, more of a class is kept."""
        wanted = [Place(_MODELING, name) for name in source_file(_MODELING).statements]
        wanted += [place for name in self.kinds for place in self._places_of(name)]
        while wanted:
            self._take(wanted)
            wanted = [place for place in self.needed if self._members(place) != self.needed[place].members]

    def _members(self, place: Place) -> frozenset[str]:
        file = source_file(place.module)
        return self.alive.members(file, file.statements[place.name])

    def _take(self, places: Iterable[Place]) -> None:
        waiting = list(places)
        while waiting:
            place = waiting.pop()
            file, members = source_file(place.module), self._members(place)
            if place in self.needed and members == self.needed[place].members:
                continue
            definition = file.kept(file.statements[place.name], members)
            self.needed[place] = definition
            self.alive.attributes |= definition.attributes()
            _refuse_inner_imports(file, definition)
            for origin in {self.origin(file, name.id) for name in definition.names}:
                if isinstance(origin, Place) and origin.module != _ERRORS:
                    waiting.append(origin)
                elif isinstance(origin, Import):
                    self.imports.add(origin)

    def origin(self, file: SourceFile, name: str) -> Origin:
        """Where a name of a file comes from, past files that hand it on, and past doors."""
        if (file.module, name) not in self._origins:
            self._origins[file.module, name] = self._find_origin(file, name)
        return self._origins[file.module, name]

    def _find_origin(self, file: SourceFile, name: str) -> Origin:
        if name in file.statements:
            place = Place(file.module, name)
            behind = self._behind_door(file, file.statements[name])
            return behind or _PLAIN_FORMS.get(place, place)
        if (found := file.imports.get(name)) is None:
            if not hasattr(builtins, name):
                raise PluginError(f"{file.name}: {name!r} is defined in no way that an export can follow")
            return None
        if not self._is_ours(found.module):
            return found
        if found.module == _ERRORS:
            return Place(_ERRORS, found.name)
        return self.origin(source_file(found.module), found.name)

    def _behind_door(self, file: SourceFile, statement: ast.stmt) -> Origin:
        match statement:
            case ast.Assign(value=ast.Call(func=ast.Name(id=called), keywords=keywords)) if called in file.imports:
                if self.origin(file, called) == _DOOR:
                    [definition] = [keyword.value for keyword in keywords if keyword.arg == "definition"]
                    assert isinstance(definition, ast.Name)
                    return self.origin(file, definition.id)
        return None

    def _is_ours(self, module: str) -> bool:
        return module.split(".")[0] == "growlab" or module in {kind.mixer.__module__ for kind in self.kinds.values()}

    def _places_of(self, name: str) -> list[Place]:
        """Its mixer, its options, and the block around it."""
        kind = self.kinds[name]
        own = [Place(found.__module__, found.__qualname__) for found in (kind.mixer, kind.options)]
        for place in own:
            if place.name not in (file := source_file(place.module)).statements:
                raise PluginError(f"{file.name}: {place.name} of {name!r} is not at the top of its file; move it there")
        return [*own, _STREAM_BLOCK if kind.on_stream else _BLOCK]

    # ---- the file -----------------------------------------------------------------------------------------------

    def text(self, header: str) -> str:
        names = self._names()
        parts = [f"{header}\n{self._import_lines()}"]
        for module in self._order():
            file = source_file(module)
            parts.append(_heading(file))
            statements = dict.fromkeys(file.statements[place.name] for place in self.needed if place.module == module)
            for statement in sorted(statements, key=lambda statement: statement.lineno):
                [place, *_] = [p for p in self.needed if p.module == module and file.statements[p.name] is statement]
                parts.append(self._kind_table(names) if place == _KINDS else self._rendered(file, place, names))
        return "\n\n\n".join(parts) + "\n"

    def _names(self) -> dict[Place, str]:
        """The name of each definition in the file."""
        taken = defaultdict(list)
        for place in self.needed:
            taken[place.name].append(place)
        foreign = {found.local for found in self.imports} | set(dir(builtins))
        return {
            place: name if len(places) == 1 and name not in foreign else _told_apart(place)
            for name, places in taken.items()
            for place in places
        }

    def _order(self) -> list[str]:
        """Modules, each after those that it imports."""
        ordered: list[str] = []

        def visit(module: str) -> None:
            if module not in ordered:
                for place in self._used_by(module):
                    visit(place.module)
                ordered.append(module)

        visit(_PLAIN)
        for place in list(self.needed):
            if place.module != _MODELING:
                visit(place.module)
        return [*ordered, _MODELING]

    def _used_by(self, module: str) -> list[Place]:
        file = source_file(module)
        used = [
            self.origin(file, name.id)
            for place, definition in self.needed.items()
            if place.module == module
            for name in definition.names
        ]
        return [place for place in used if isinstance(place, Place) and place.module not in (module, _ERRORS)]

    def _rendered(self, file: SourceFile, place: Place, names: dict[Place, str]) -> str:
        definition, statement = self.needed[place], file.statements[place.name]
        renaming = [edit for name in definition.names if (edit := self._renamed(file, definition, name, names))]
        if names[place] != place.name:
            at = file.text.index(place.name.encode(), file.span(statement)[0])
            renaming.append(Edit(at, at + len(place.name.encode()), names[place].encode()))
        return file.rendered(definition, statement, renaming)

    def _renamed(
        self, file: SourceFile, definition: Definition, name: ast.Name, names: dict[Place, str]
    ) -> Edit | None:
        origin = self.origin(file, name.id)
        if not isinstance(origin, Place):
            return None
        new = "ValueError" if origin.module == _ERRORS else names[origin]
        if new == name.id:
            return None
        assert new not in definition.bound(), f"{file.module}: {new} would be another one in {definition.node}"
        return Edit(*file.span(name), new.encode())

    def _kind_table(self, names: dict[Place, str]) -> str:
        rows = []
        for name, kind in self.kinds.items():
            mixer, options, block = (names[place] for place in self._places_of(name))
            holds = "" if kind.nesting is None or not kind.nesting.whole else ", holds_blocks=True"
            around = f", {block}" if kind.on_stream else ""
            rows.append(f'    "{name}": Kind({mixer}, {options}{around}{holds}),')
        return "\n".join(["KINDS = {", *rows, "}"])

    def _import_lines(self) -> str:
        from_modules = defaultdict(list)
        lines = []
        for found in sorted(self.imports):
            alias = "" if found.local == (found.name or found.module) else f" as {found.local}"
            if found.name:
                from_modules[found.module].append(found.name + alias)
            else:
                lines.append(f"import {found.module}{alias}")
        lines += [f"from {module} import {', '.join(names)}" for module, names in from_modules.items()]
        return "\n".join(lines)


def _told_apart(place: Place) -> str:
    """The name with that of its file before it: _definition of swiglu is _swiglu_definition."""
    stem, name = place.module.rpartition(".")[2], place.name
    return f"_{stem}{name}" if name.startswith("_") else f"{stem}_{name}"


def _heading(file: SourceFile) -> str:
    lines = [f"# ---- {file.module} ".ljust(120, "-"), *(f"# {line}".rstrip() for line in file.docstring.splitlines())]
    return "\n".join(lines)


def _refuse_inner_imports(file: SourceFile, definition: Definition) -> None:
    for node in ast.walk(definition.node):
        if isinstance(node, ast.Import | ast.ImportFrom):
            raise PluginError(
                f"{file.name}, line {node.lineno}: an import inside a function cannot be exported; move it to the top"
            )
