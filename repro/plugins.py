"""Named pieces: one file per piece, found by its name in the package of its kind.

A trigger called ``square`` is the module ``repro.triggers.square``. Listing reads file names and the
first line of each docstring, so that nothing heavy is imported to say what exists.
"""

import ast
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from repro.errors import ReproError

ROOT = Path(__file__).resolve().parent

KINDS = {
    "dataset": "data/datasets",
    "trigger": "triggers",
    "family": "families",
    "attack": "attacks",
    "architecture": "models",
    "engine": "training/engines",
    "defence": "defences",
    "experiment": "experiments",
}


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names of every piece of a kind, sorted; files that begin with an underscore are not pieces."""
    folder = ROOT / KINDS[kind]
    return tuple(sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")))


def module_name(kind: str, name: str) -> str:
    """Dotted module of a piece; raises ReproError for an unknown name."""
    if name not in names(kind):
        raise ReproError(f"unknown {kind} {name!r}: there are {', '.join(names(kind))}")
    return "repro." + KINDS[kind].replace("/", ".") + "." + name


def load(kind: str, name: str) -> ModuleType:
    """Import the piece ``name`` of a kind."""
    for loaded in _observers:
        loaded.add((kind, name))
    return importlib.import_module(module_name(kind, name))


_observers: list[set[tuple[str, str]]] = []


@contextmanager
def observed() -> Iterator[set[tuple[str, str]]]:
    """Collects the (kind, name) of every piece that is loaded within the block."""
    loaded: set[tuple[str, str]] = set()
    _observers.append(loaded)
    try:
        yield loaded
    finally:
        _observers.pop()


def title(kind: str, name: str) -> str:
    """First line of the piece's docstring, without importing it."""
    module_name(kind, name)
    source = (ROOT / KINDS[kind] / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def options(kind: str, name: str) -> dict[str, Any]:
    """The piece's ``OPTIONS``, without importing it."""
    found: dict[str, Any] = literal(kind, name, "OPTIONS", {})
    return found


def literal(kind: str, name: str, constant: str, default: Any) -> Any:
    """A piece's constant that is written as a literal, without importing the piece; ``default`` if there is none."""
    value = _values(kind, name).get(constant)
    return default if value is None else ast.literal_eval(value)


@cache
def _values(kind: str, name: str) -> dict[str, ast.expr]:
    """The expressions assigned to a piece's constants, as written."""
    module_name(kind, name)
    path = ROOT / KINDS[kind] / f"{name}.py"
    found: dict[str, ast.expr] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name):
                found[target.id] = node.value
    return found
