"""Slices: profile files that only say how they differ from a larger profile, of which they are a part."""

import re
from pathlib import Path
from typing import Any

import yaml

from repro.errors import ReproError
from repro.files import write_text
from repro.harness import profile as profiles
from repro.harness import reading
from repro.harness.needs import images as images_of
from repro.harness.profile import Profile, load_profile

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_IMAGES_A_CLASS = 20  # attacks are tested on a twentieth; with no such images, there is nothing to measure


def write_slice(
    root: Path,
    whole: str,
    name: str,
    units: int | None = None,
    images: int | None = None,
    architectures: list[str] | None = None,
    experiments: list[str] | None = None,
) -> Path:
    """Write ``repro/profiles/<name>.yaml``, a slice of profile ``whole``; returns its path.

    ``units``: the most of any experiment; experiments that ``experiments`` does not name are left out. Raises
    ReproError, and leaves no file, when the name is taken or invalid, when something is not part of the whole, or when
    the profile would be invalid.
    """
    if not _NAME.fullmatch(name):
        raise ReproError(f"--as {name!r}: a name of small letters, digits and underscores is wanted")
    profile = load_profile(whole, root)
    path = profiles.FOLDER / f"{name}.yaml"
    if name in profiles.names():
        taken = reading.place(profiles.files()[name], profiles.FOLDER)
        raise ReproError(f"--as {name}: {taken} is there already; choose another name")
    parts: list[str] = []
    changes: dict[str, Any] = {}
    if images is not None:
        most = images_of(profile)
        _within("images", images, most, whole, least=min(_IMAGES_A_CLASS * profile.classes(), most))
        changes["data"] = {"limit": images}
        parts.append(f"{images} images")
    if architectures is not None:
        _among("architectures", architectures, profile.architectures, whole)
        changes["architectures"] = architectures
        parts.append(", ".join(architectures))
    kept = list(profile.experiments)
    if experiments is not None:
        _among("experiments", experiments, kept, whole)
        kept = [experiment for experiment in kept if experiment in experiments]
        changes["leaves_out"] = {
            other: "not in this slice" for other in profile.experiments if other not in kept
        }
        parts.append(f"experiments {', '.join(kept)}")
    if units is not None:
        smaller = _fewer_units(profile, kept, units)
        changes["experiments"] = {experiment: {"units": units} for experiment in smaller}
        parts.append(f"at most {units} units")
    if architectures is not None:
        for experiment in kept:
            settings = profile.settings(experiment)
            by_profiles_recipe = hasattr(settings, "architecture") and not hasattr(settings, "learning_rate")
            if by_profiles_recipe and settings.architecture not in architectures:
                sized = changes.setdefault("experiments", {}).setdefault(experiment, {})
                sized["architecture"] = architectures[0]
    changes = {field: value for field, value in changes.items() if value}
    if not changes:
        raise ReproError(
            f"--as {name}: nothing to differ in; give --units, --images, --architectures, --experiments"
        )
    content = {"title": f"a slice of {whole}: {'; '.join(parts)}", "slice_of": whole, **changes}
    _write(root, path, content)
    return path


def _within(option: str, value: int, most: int, whole: str, least: int = 1) -> None:
    if not least <= value <= most:
        raise ReproError(f"--{option} {value}: must be from {least} to the {most} of profile {whole}")


def _among(option: str, names: list[str], known: list[str], whole: str) -> None:
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        what = f"profile {whole} has no {', '.join(wrong)}" if wrong else "none is named"
        raise ReproError(f"--{option}: {what} (it has {', '.join(known)})")
    if len(set(names)) < len(names):
        raise ReproError(f"--{option}: {', '.join(names)}: one of them is named twice")


def _fewer_units(profile: Profile, among: list[str], units: int) -> list[str]:
    """The experiments that have more units than that."""
    sizes = {name: getattr(profile.settings(name), "units", None) for name in among}
    counted = {name: size for name, size in sizes.items() if size is not None}
    if not counted:
        raise ReproError(f"--units {units}: {', '.join(among)} of profile {profile.name} counts no units")
    _within("units", units, max(counted.values()), profile.name)
    return [name for name, size in counted.items() if size > units]


def _write(root: Path, path: Path, content: dict[str, Any]) -> None:
    """Write the file and read it as a profile; remove it again when it is not a valid one."""
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    write_text(path, text)
    try:
        load_profile(path.stem, root)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
