"""Named pieces: one file or folder per piece, found by its name, where those of its kind lie.

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
    "experiment": "papers/*/experiments",
    "paper": "papers",
}
"""Where the pieces of a kind lie, below this package."""
_CLAIMS = "claims.yaml"


@cache
def _files(kind: str) -> dict[str, Path]:
    """The file of every piece of a kind, by name, sorted; of a folder, its ``__init__.py``.

    Names that begin with an underscore are not pieces; a paper is a folder that has claims.
    """
    found: dict[str, Path] = {}
    for path in ROOT.glob(f"{KINDS[kind]}/*"):
        name, file = (path.name, path / "__init__.py") if path.is_dir() else (path.stem, path)
        if name.startswith("_") or file.suffix != ".py" or not file.is_file():
            continue
        if kind == "paper" and not (path / _CLAIMS).is_file():
            continue
        if name in found:
            raise ReproError(f"two pieces of kind {kind} are called {name!r}: {found[name]} and {file}")
        found[name] = file
    return dict(sorted(found.items()))


def names(kind: str) -> tuple[str, ...]:
    """Names of every piece of a kind, sorted."""
    return tuple(_files(kind))


def file_of(kind: str, name: str) -> Path:
    """The file of a piece; raises ReproError when there is none of that name."""
    if name not in _files(kind):
        raise ReproError(f"unknown {kind} {name!r}: there are {', '.join(names(kind))}")
    return _files(kind)[name]


def module_name(kind: str, name: str) -> str:
    """Dotted module of a piece; raises ReproError when there is none of that name."""
    parts = file_of(kind, name).relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def claims_files() -> list[Path]:
    """The claims of every paper."""
    return [file_of("paper", name).with_name(_CLAIMS) for name in names("paper")]


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
    source = file_of(kind, name).read_text(encoding="utf-8")
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
    """What a piece's constants are assigned, as written."""
    found: dict[str, ast.expr] = {}
    for node in ast.parse(file_of(kind, name).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name):
                found[target.id] = node.value
    return found
