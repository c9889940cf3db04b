"""Definitions that were only moved: the same words in another file, which name what was there before.

No witness has to execute these. A definition counts as moved from another of the same name when the syntax of both is
the same and each name of this package in it stands for a definition of the same name, at the same place, or one that
was itself taken from where the other stood, or is written the same. What those are is judged by itself.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from repro.harness.evidence.definitions import ALWAYS, Reference, defined, form, module_of, reading

Index = dict[str, tuple[str, frozenset[str]]]
"""By ``module:definition``, its syntax without the places of what it names, and the definitions that it names."""
_PLACE = re.compile(r"'(repro[\w.]*):(\w+)'")  # of the function that does a phase's work
_MODULE = re.compile(r"'repro(?:\.\w+)*\.(\w+)'")
_IMPORT = re.compile(r"ImportFrom\(module='repro[\w.]*',")


def index(package: Path) -> Index:
    """Every definition below a package's folder."""
    with reading(package):
        return dict(_each(package))


def _each(package: Path) -> Iterator[tuple[str, tuple[str, frozenset[str]]]]:
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join([package.name, *(part for part in parts if part != "__init__")])
        module = module_of(name)
        for own, nodes in [*module.nodes.items(), (ALWAYS, module.always)]:
            text = "\n".join(map(form, nodes))
            named = {_written(reference) for reference in module.definition(own).reaches}
            named |= {":".join(place) for place in _PLACE.findall(text)}
            yield f"{name}:{own}", (_unplaced(text), frozenset(named))


def _unplaced(text: str) -> str:
    """Syntax without the places of what it names."""
    return _MODULE.sub(r"'\1'", _PLACE.sub(r"'\2'", _IMPORT.sub("ImportFrom(", text)))


def _written(reference: Reference) -> str:
    return ":".join(defined(reference) or reference)


def moved(before: Index, after: Index) -> dict[str, str]:
    """By definition that stands in one place before and in another after, where it stands on the other side."""
    gone = {name for name in before if name not in after}
    found: dict[str, str] = {}
    by_name: dict[str, list[str]] = {}
    for old in gone:
        by_name.setdefault(_own(old), []).append(old)
    for new in after:
        for old in by_name.get(_own(new), []) if new not in before else ():
            if _same(before, after, old, new):
                found |= {old: new, new: old}
    # What stayed where it was, and now names the same things at their new places.
    return found | {name: name for name in before if name in after and _same(before, after, name, name)}


def _own(name: str) -> str:
    return name.partition(":")[2]


def _same(before: Index, after: Index, old: str, new: str) -> bool:
    (text, named), (other, names) = before[old], after[new]
    if text != other or sorted(map(_own, named)) != sorted(map(_own, names)):
        return False
    return all(any(_stands_for(before, after, one, two) for one in named) for two in names)


def _stands_for(before: Index, after: Index, old: str, new: str) -> bool:
    """Whether a name after means what a name before meant."""
    if old == new:
        return True
    if _own(old) != _own(new):
        return False
    taken = old not in after and new not in before
    return taken or (old in before and new in after and before[old][0] == after[new][0])
