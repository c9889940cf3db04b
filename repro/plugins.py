"""Named pieces: one file or folder per piece, found by its name, where those of its kind lie.

A trigger called ``square`` is the module ``repro.triggers.square``. Pieces lie below several roots: this package, then
each paper of a user's own, which is a folder of the project's ``papers`` or an installed package named under the entry
point group ``repro.papers``. Listing reads file names and the first line of each docstring, so that nothing heavy is
imported to say what exists.
"""

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
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
GROUP = "repro.papers"
PARAMETERS = "params.yaml"  # makes a folder a project
_CLAIMS = "claims.yaml"
_PAPERS, _PROFILES = "papers", "profiles"


@dataclass(frozen=True)
class Root:
    """A folder that pieces lie below, and its dotted name: this package, or one paper."""

    prefix: str
    folder: Path
    is_paper: bool = True

    def candidates(self, kind: str) -> Iterator[Path]:
        """Files and folders that may be pieces of a kind."""
        if not self.is_paper:
            yield from self.folder.glob(f"{KINDS[kind]}/*")
        elif kind == "paper":
            yield self.folder
        else:
            yield from self.folder.glob(f"{'experiments' if kind == 'experiment' else KINDS[kind]}/*")

    def module_of(self, file: Path) -> str:
        """Dotted module of a file below the folder."""
        parts = file.relative_to(self.folder).with_suffix("").parts
        return ".".join([self.prefix, *(part for part in parts if part != "__init__")])


def roots() -> tuple[Root, ...]:
    """All roots, this package first; those of the project are of the current folder."""
    return (Root("repro", ROOT, is_paper=False), *_papers(os.getcwd()))


def forget() -> None:
    """Look for papers anew: one has been written."""
    _papers.cache_clear()
    _pieces.cache_clear()
    importlib.invalidate_caches()


@cache
def _papers(project: str) -> tuple[Root, ...]:
    """The papers of a project's own, then the installed ones; the project's modules can be imported afterwards."""
    folder = Path(project) / _PAPERS
    own = []
    for path in sorted(folder.glob("*/")) if folder.with_name(PARAMETERS).is_file() else ():
        if (path / "__init__.py").is_file() and path.name.isidentifier():
            own.append(Root(f"{_PAPERS}.{path.name}", path))
        elif (path / _CLAIMS).is_file():
            raise ReproError(
                f"{path}: a paper's folder has an __init__.py, and a name of letters, digits and underscores"
            )
    if own and project not in sys.path:
        sys.path.append(project)
    here = {root.folder.resolve() for root in own}
    installed = (_installed(point) for point in entry_points(group=GROUP))
    return (*own, *(root for root in installed if root.folder.resolve() not in here))


def _installed(point: EntryPoint) -> Root:
    top, *rest = point.value.split(".")
    spec = importlib.util.find_spec(top)
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place).joinpath(*rest)
        if (folder / "__init__.py").is_file():
            return Root(point.value, folder)
    by = f" of {point.dist.name}" if point.dist else ""
    raise ReproError(f"entry point {point.name}{by} in group {GROUP}: there is no package {point.value!r}")


def code_path(module: str) -> Path | None:
    """Where a module of a user's own papers, or beside them in their package, would lie, without a suffix; or None."""
    beside = None
    for root in roots():
        if not root.is_paper:
            continue
        if module == root.prefix or module.startswith(f"{root.prefix}."):
            return root.folder.joinpath(*module.split(".")[root.prefix.count(".") + 1 :])
        top, *rest = module.split(".")
        if beside is None and root.prefix.startswith(f"{top}."):
            beside = root.folder.parents[root.prefix.count(".") - 1].joinpath(*rest)
    return beside


def profile_folders() -> list[Path]:
    """Folders of the profiles that are not this package's: the project's own, and its papers'."""
    own = [root.folder / _PROFILES for root in roots() if root.is_paper]
    return [Path.cwd() / _PROFILES, *own] if Path(PARAMETERS).is_file() else own


def _files(kind: str) -> dict[str, Path]:
    """The file of every piece of a kind, by name, sorted; of a folder, its ``__init__.py``."""
    return {name: file for name, (file, _) in _pieces(kind, roots()).items()}


@cache
def _pieces(kind: str, among: tuple[Root, ...]) -> dict[str, tuple[Path, Root]]:
    """The file of every piece of a kind, and the root that it lies below, by name, sorted.

    Names that begin with an underscore are not pieces; a paper is a folder that has claims.
    """
    found: dict[str, tuple[Path, Root]] = {}
    for root in among:
        for path in root.candidates(kind):
            name, file = (path.name, path / "__init__.py") if path.is_dir() else (path.stem, path)
            if name.startswith("_") or file.suffix != ".py" or not file.is_file():
                continue
            if kind == "paper" and not (path / _CLAIMS).is_file():
                continue
            if name in found:
                raise ReproError(
                    f"two pieces of kind {kind} are called {name!r}: {found[name][0]} and {file}"
                )
            found[name] = file, root
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
    file_of(kind, name)
    file, root = _pieces(kind, roots())[name]
    return root.module_of(file)


def claims_files() -> list[Path]:
    """The claims of every paper."""
    return [file_of("paper", name).with_name(_CLAIMS) for name in names("paper")]


def load(kind: str, name: str) -> ModuleType:
    """Import the piece ``name`` of a kind."""
    for loaded in _observers:
        loaded.add((kind, name))
    module = importlib.import_module(module_name(kind, name))
    file, root = _pieces(kind, roots())[name]
    if root.is_paper:
        _check(kind, module, file)
    return module


_DEFINES = {
    "trigger": ("OPTIONS", "check", "pattern"),
    "family": ("OPTIONS", "check", "describe", "draw"),
    "experiment": ("Settings", "EXPERIMENT"),
}
"""What the pieces of a kind define, whichever they are."""


def _check(kind: str, module: ModuleType, file: Path) -> None:
    """Raise ReproError when a piece of a user's own is not the module that was meant, or lacks something."""
    if not file.samefile(str(module.__file__)):
        raise ReproError(f"{file}: another module is called {module.__name__}, too: {module.__file__}")
    for needed in _DEFINES.get(kind, ()):
        if not hasattr(module, needed):
            raise ReproError(f"{file}: {kind} {file.stem!r} does not define {needed}")


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


def parsed(file: Path) -> ast.Module:
    """The syntax of a file; raises ReproError when it is not Python."""
    try:
        return ast.parse(file.read_text(encoding="utf-8"), str(file))
    except SyntaxError as error:
        raise ReproError(f"{file}:{error.lineno}: not valid Python ({error.msg})") from None


def title(kind: str, name: str) -> str:
    """First line of the piece's docstring, without importing it."""
    return (ast.get_docstring(parsed(file_of(kind, name))) or "").partition("\n")[0]


def options(kind: str, name: str) -> dict[str, Any]:
    """The piece's ``OPTIONS``, without importing it."""
    found: dict[str, Any] = literal(kind, name, "OPTIONS", {})
    return found


def literal(kind: str, name: str, constant: str, default: Any) -> Any:
    """A piece's constant that is written as a literal, without importing the piece; ``default`` if there is none."""
    value = _assigned(file_of(kind, name)).get(constant)
    return default if value is None else ast.literal_eval(value)


@cache
def _assigned(file: Path) -> dict[str, ast.expr]:
    """What a file's constants are assigned, as written."""
    found: dict[str, ast.expr] = {}
    for node in parsed(file).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name):
                found[target.id] = node.value
    return found
