"""Shapes, options and seeds that fit a family of triggers, and the triggers drawn for them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from repro import plugins
from repro.families import Shape

Case = tuple[Shape, dict[str, Any], int]
FAMILIES = plugins.names("family")
SHAPES = st.tuples(st.sampled_from([1, 3]), st.integers(16, 24), st.integers(16, 24))
SEEDS = st.integers(0, 10**6)
COUNT = 12


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@st.composite
def settings(draw: st.DrawFn, family: str) -> dict[str, Any]:
    """Options that fit 16x16 pixels."""
    greys = sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    if family == "shapes":
        sizes = sorted(draw(st.tuples(st.integers(4, 8), st.integers(4, 8))))
        return dict(zip(("smallest", "largest", "darkest", "lightest"), sizes + greys, strict=True))
    if family == "noise":
        low, high = draw(st.sampled_from([(0.0, 1.0), (0.3, 0.6)]))
        some = {"bank": draw(st.integers(1, 40)), "perturbation": draw(st.sampled_from([0.05, 0.3]))}
        return {"size": draw(st.integers(2, 16)), "low": low, "high": high} | some
    if family == "frequency":
        low, high = draw(st.sampled_from([(1.0, 7.9), (3.0, 5.0), (4.0, 6.0)]))
        some = {"orientations": draw(st.integers(1, 6)), "phases": draw(st.integers(1, 6))}
        return {"lowest": low, "highest": high, "opacity": draw(st.sampled_from([0.2, 0.5, 1.0]))} | some
    if family == "corner":
        return {"size": draw(st.integers(2, 6)), "offset": draw(st.integers(0, 2))}
    shift = draw(st.integers(1, 3))
    return {
        "size": draw(st.integers(1, 7)),
        "offset": shift + draw(st.integers(0, 2)),
        "value": greys[1],
        "shift": shift,
    }


@st.composite
def cases(draw: st.DrawFn, family: str) -> Case:
    return draw(SHAPES), draw(settings(family)), draw(SEEDS)


def members(family: str, kind: str, case: Case, count: int = COUNT) -> Any:
    """Parameters, patterns and masks of the triggers that one generator gives."""
    shape, options, seed = case
    piece = plugins.load("family", family)
    piece.check(shape, **options)
    return (
        piece.describe(kind, count, shape, rng(seed), **options),
        *piece.draw(kind, count, shape, rng(seed), **options),
    )


def held(family: str, kind: str, case: Case, *names: str) -> set[Any]:
    """What some parameters of many triggers are, together."""
    return {tuple(member[name] for name in names) for member in members(family, kind, case, 60)[0]}
