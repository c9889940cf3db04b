"""Profiles' files: where they lie, and what they say, merged over the profile that one is a slice of."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from repro.errors import ReproError
from repro.reading import read_mapping


def files(folders: Iterable[Path], given: Iterable[Path] = ()) -> dict[str, Path]:
    """The file of every profile, by name, sorted: those of some folders, and some that were given by path.

    Raises ReproError when two have the same name.
    """
    found: dict[str, Path] = {}
    for path in (*(path for folder in folders for path in sorted(folder.glob("*.yaml"))), *given):
        other = found.setdefault(path.stem, path)
        if other != path and not other.samefile(path):
            raise ReproError(f"two profiles are called {path.stem!r}: {other} and {path}")
    return dict(sorted(found.items()))


def place(path: Path, own: Path) -> str:
    """A profile's file in messages; ``own`` is the folder of this package's profiles."""
    if path.parent == own:
        return f"repro/profiles/{path.name}"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def content(known: Mapping[str, Path], name: str, own: Path) -> dict[str, Any]:
    """A profile's file; a slice's file is merged over the profile that it is a slice of."""
    where = place(known[name], own)
    changes = read_mapping(known[name], where)
    whole = changes.get("slice_of")
    if whole is None:
        return changes
    if whole == name or whole not in known:
        raise ReproError(f"{where}: slice_of: {whole!r} is not one of the other profiles, {', '.join(known)}")
    base = read_mapping(known[whole], place(known[whole], own))
    if "slice_of" in base:
        raise ReproError(f"{where}: slice_of: {whole!r} is a slice itself; name the whole profile")
    merged = laid_over(base, changes)
    for left_out in merged.get("leaves_out") or {}:
        if left_out not in (changes.get("experiments") or {}):
            merged["experiments"].pop(left_out, None)
    return merged


def laid_over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Mappings are merged key by key, and null removes a key; everything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
            continue
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = laid_over(below, value) if both else value  # type: ignore[arg-type]
    return merged
