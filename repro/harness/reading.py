"""Reading a profile's file, merged over the profile that it is a slice of."""

from pathlib import Path
from typing import Any

from repro.errors import ReproError
from repro.reading import read_mapping


def names(folder: Path) -> tuple[str, ...]:
    """All profiles of a folder, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def content(folder: Path, name: str, where: str) -> dict[str, Any]:
    """A profile's file; a slice's file is merged over the profile that it is a slice of."""
    own = read_mapping(folder / f"{name}.yaml", where)
    whole = own.get("slice_of")
    if whole is None:
        return own
    if whole == name or whole not in names(folder):
        raise ReproError(
            f"{where}: slice_of: {whole!r} is not one of the other profiles, {', '.join(names(folder))}"
        )
    base = read_mapping(folder / f"{whole}.yaml", f"repro/profiles/{whole}.yaml")
    if "slice_of" in base:
        raise ReproError(f"{where}: slice_of: {whole!r} is a slice itself; name the whole profile")
    merged = laid_over(base, own)
    for left_out in merged.get("leaves_out") or {}:
        if left_out not in (own.get("experiments") or {}):
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
