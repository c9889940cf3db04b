"""Reading a profile's file: YAML, merged over the profile that it is a slice of, validated by a model."""

from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from repro.errors import ReproError

M = TypeVar("M", bound=BaseModel)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader in C, five times as fast, if PyYAML was built with it."""


def names(folder: Path) -> tuple[str, ...]:
    """All profiles of a folder, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def content(folder: Path, name: str, where: str) -> dict[str, Any]:
    """A profile's file; a slice's file is merged over the profile that it is a slice of."""
    own = read(folder / f"{name}.yaml")
    whole = own.get("slice_of")
    if whole is None:
        return own
    if whole == name or whole not in names(folder):
        raise ReproError(
            f"{where}: slice_of: {whole!r} is not one of the other profiles, {', '.join(names(folder))}"
        )
    base = read(folder / f"{whole}.yaml")
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


@cache
def _text(path: Path, _changed: int) -> str:
    return path.read_text(encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, by the safe loader; ReproError in one line for anything else."""
    try:
        content = yaml.load(_text(path, path.stat().st_mtime_ns), Loader=LOADER)
    except FileNotFoundError:
        raise ReproError(f"{path.name}: no such file in {path.parent}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ReproError(f"{path.name}: cannot be read as text ({error})") from None
    except yaml.YAMLError as error:
        raise ReproError(f"{path.name}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ReproError(f"{path.name}: a mapping is wanted, not {type(content).__name__}")
    return content


def checked(model: type[M], content: dict[str, Any], where: str) -> M:
    """The content as the model has it; ReproError names file and field."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        top = first["type"] == "extra_forbidden" and len(first["loc"]) == 1
        known = f" (known: {', '.join(model.model_fields)})" if top else ""
        raise ReproError(f"{where}: {field}: {first['msg']}{known}") from None
