"""Code by definition: the hash of each top-level definition of our code, and which others it reaches by name.

Ours is this package, and the package that a paper of a user's own is part of: the project's ``papers``, for one.

A definition counts by its syntax without docstrings, annotations and the texts of errors, so that explaining or
formatting code, or adding unused code, changes nothing; it is written out identically under every supported Python.
Module-level statements other than definitions, imports and simple assignments run at import, so they always count.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from repro import plugins
from repro.errors import ReproError

PACKAGE = Path(__file__).resolve().parents[2]

Reference = tuple[str, str]
"""(module, name of a top-level definition); an empty name means everything in the module."""

ALWAYS = "(module)"  # statements that run at import
_LEFT_OUT = {"annotation", "returns", "ctx", "kind", "type_comment", "type_params", "simple"}


def file_of(module: str) -> Path | None:
    """The file of a module of ours, or None."""
    path = _path(module)
    candidates = (path.with_suffix(".py"), path / "__init__.py") if path else ()
    return next((found for found in candidates if found.is_file()), None)


def _path(module: str) -> Path | None:
    """Where a module of ours would lie, without a suffix; None if it is not ours."""
    top, *rest = module.split(".")
    return PACKAGE.joinpath(*rest) if top == "repro" else plugins.code_path(module)


def _exists(module: str) -> bool:
    """Whether there is a module of ours of that name; a folder without ``__init__.py`` is an empty one."""
    path = _path(module)
    return path is not None and (path.is_dir() or file_of(module) is not None)


def form(node: ast.AST, in_class: bool = False) -> str:
    """A node's syntax in a normal form: equal forms have the same meaning.

    ``in_class``: the node is a statement of a class's body, where an annotation makes a field.
    """
    if isinstance(node, ast.AnnAssign) and node.value and not in_class:
        return form(ast.Assign([node.target], node.value))
    own = isinstance(node, ast.ClassDef)
    parts = [f"{field}={_written(value, own)}" for field, value in _fields(node) if value not in (None, [])]
    return f"{type(node).__name__}({','.join(parts)})"


def _fields(node: ast.AST) -> Iterator[tuple[str, Any]]:
    """The fields of a node that count: neither annotations nor the texts of raised errors."""
    for field, value in ast.iter_fields(node):
        if field == "exc" and isinstance(value, ast.Call):
            yield field, _without_texts(value)
        elif field not in _LEFT_OUT:
            yield field, value


def _written(value: object, in_class: bool) -> str:
    if isinstance(value, ast.AST):
        return form(value)
    if isinstance(value, list):
        kept = (part for part in value if not _says_nothing(part, in_class))
        return f"[{';'.join(form(part, in_class) if isinstance(part, ast.AST) else repr(part) for part in kept)}]"
    return repr(value)


def _says_nothing(node: object, in_class: bool) -> bool:
    """Whether a statement is a docstring, or only annotates a local name."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.AnnAssign) and node.value is None and not in_class


def _without_texts(call: ast.Call) -> ast.Call:
    return ast.Call(call.func, [argument for argument in call.args if not _is_text(argument)], call.keywords)


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) and _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


@dataclass(frozen=True)
class Definition:
    """A definition's hash, and what it reaches."""

    hash: str
    reaches: frozenset[Reference]


class Module:
    """A module's top-level definitions, looked up by name."""

    def __init__(self, name: str) -> None:
        path = file_of(name)
        if not _exists(name):
            raise ReproError(f"{name}: no such module")
        self.name = name
        self._package = name if path is None or path.stem == "__init__" else name.rpartition(".")[0]
        self.imports: dict[str, tuple[str, str]] = {}
        self.imported: set[str] = {name.rsplit(".", i)[0] for i in range(1, name.count(".") + 1)}
        self.nodes: dict[str, list[ast.stmt]] = {}
        self.always: list[ast.stmt] = []
        self._built: dict[str, Definition] = {}
        for node in plugins.parsed(path).body if path else ():
            self._add(node)

    def _add(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound = _bindings(node, self._package)
            if "*" in bound and _ours(bound["*"][0]):
                raise ReproError(
                    f"{file_of(self.name)}:{node.lineno}: import * hides what evidence depends on"
                )
            self.imports |= bound
            self.imported |= {module for module, _ in bound.values() if _ours(module)}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            self.nodes.setdefault(node.name, []).append(node)
        elif (names := _assigned(node)) is not None:
            for name in names:
                self.nodes.setdefault(name, []).append(node)
        elif not _says_nothing(node, False) and not _for_types(node):
            self.always.append(node)

    @property
    def public(self) -> list[str]:
        """Names that other modules may look up, sorted."""
        return sorted(name for name in self.nodes if not name.startswith("_"))

    def definition(self, name: str) -> Definition:
        """The definition of a name of the module, or of ``ALWAYS``."""
        if name not in self._built:
            nodes = self.always if name == ALWAYS else self.nodes[name]
            self._built[name] = self._build(nodes)
        return self._built[name]

    def _build(self, nodes: list[ast.stmt]) -> Definition:
        reaches: set[Reference] = set()
        bound: set[str] = set()
        for node in nodes:
            imports = dict(self.imports)
            for part in ast.walk(node):
                if isinstance(part, ast.Import | ast.ImportFrom):
                    imports |= _bindings(part, self._package)
            for dotted in _names(node):
                head = dotted.partition(".")[0]
                if head in imports:
                    found = _target(dotted, *imports[head])
                    bound.add(f"{head}={'.'.join(imports[head])}")
                    if found:
                        reaches.add(found)
                elif head in self.nodes:
                    reaches.add((self.name, head))
        text = "\n".join([*map(form, nodes), *sorted(bound)])
        return Definition(hashlib.sha256(text.encode()).hexdigest()[:16], frozenset(reaches))


def _ours(module: str) -> bool:
    return _path(module) is not None


def _bindings(node: ast.Import | ast.ImportFrom, package: str) -> dict[str, tuple[str, str]]:
    """By local name, (module, name in it); an empty name means that the module itself is bound.

    ``package``: what relative imports start from.
    """
    if isinstance(node, ast.Import):
        return {
            alias.asname or alias.name.partition(".")[0]: (
                alias.name if alias.asname else alias.name.partition(".")[0],
                "",
            )
            for alias in node.names
        }
    found = {}
    start = package.rsplit(".", node.level - 1)[0] if node.level else ""
    for alias in node.names:
        module, name = ".".join(filter(None, (start, node.module))), alias.name
        if _exists(f"{module}.{name}"):
            module, name = f"{module}.{name}", ""
        found[alias.asname or alias.name] = (module, name)
    return found


def _target(dotted: str, module: str, name: str) -> Reference | None:
    """What ``head.attribute...`` means where ``head`` is bound to a module or to a name in one; None if not ours."""
    if not _ours(module):
        return None
    if name:
        return module, name
    for attribute in dotted.split(".")[1:]:
        if not _exists(f"{module}.{attribute}"):
            return module, attribute
        module = f"{module}.{attribute}"
    return module, ""


def _names(node: ast.AST, in_class: bool = False) -> Iterator[str]:
    """Every name used, with its attributes; annotations count only in a class, where fields hold objects."""
    if isinstance(node, ast.Name):
        yield node.id
        return
    if isinstance(node, ast.Attribute) and (dotted := _dotted(node)):
        yield dotted
        return
    if isinstance(node, ast.AnnAssign) and in_class:
        yield from _names(node.annotation)
    for _, value in _fields(node):
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST):
                yield from _names(part, isinstance(node, ast.ClassDef))


def _dotted(node: ast.expr) -> str:
    """``a.b.c`` for an attribute chain that starts at a name, else empty."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def _assigned(node: ast.stmt) -> list[str] | None:
    """The names of a simple assignment, that is, one to names only; None for anything else."""
    if isinstance(node, ast.AnnAssign):
        targets: list[ast.expr] = [node.target]
    elif isinstance(node, ast.Assign):
        targets = node.targets
    else:
        return None
    names: list[str] = []
    for target in targets:
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        if not all(isinstance(part, ast.Name) for part in parts):
            return None
        names += [part.id for part in parts if isinstance(part, ast.Name)]
    return names


def _for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and _dotted(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@cache
def module_of(name: str) -> Module:
    """A module of ours, parsed once."""
    return Module(name)


@contextmanager
def reading(package: Path) -> Iterator[None]:
    """Within the block, modules are those of another copy of this package."""
    global PACKAGE  # noqa: PLW0603
    own, PACKAGE = PACKAGE, package
    module_of.cache_clear()
    try:
        yield
    finally:
        PACKAGE = own
        module_of.cache_clear()


def defined(reference: Reference) -> Reference | None:
    """The definition that a reference leads to, through modules that only re-export it."""
    module_name, name = reference
    while file_of(module_name) is not None:
        module = module_of(module_name)
        if name in module.nodes:
            return module_name, name
        if name not in module.imports:
            return None
        module_name, name = module.imports[name]
    return None


def definitions(roots: Iterable[Reference], neutral: frozenset[str]) -> dict[str, str]:
    """Hash by ``module:definition`` of everything that the roots reach, including the roots.

    ``neutral`` modules are not entered. Raises ReproError for an unknown root.
    """
    found: dict[str, str] = {}
    seen: set[Reference] = set()
    waiting = list(roots)
    while waiting:
        module_name, name = reference = waiting.pop()
        if reference in seen or module_name in neutral:
            continue
        seen.add(reference)
        module = module_of(module_name)
        waiting += [(imported, ALWAYS) for imported in module.imported] + [(module_name, ALWAYS)]
        if name == ALWAYS:
            if module.always:
                found[f"{module_name}:{ALWAYS}"] = module.definition(ALWAYS).hash
                waiting += module.definition(ALWAYS).reaches
        elif name in module.nodes:
            found[f"{module_name}:{name}"] = module.definition(name).hash
            waiting += module.definition(name).reaches
        elif name in module.imports and _ours(module.imports[name][0]):
            waiting.append(module.imports[name])
        elif name not in module.imports:
            # Everything: a module used as a value, or a name created at run time.
            waiting += [(module_name, own) for own in module.nodes]
    return dict(sorted(found.items()))
