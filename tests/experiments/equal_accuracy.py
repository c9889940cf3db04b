"""A slow lookup of a victim's measurements at accuracies that another reaches too."""

from typing import Any

import numpy as np


def slow_path(record: dict[str, Any]) -> list[dict[str, float]]:
    """The first checkpoint, and every later one that is better than all before it."""
    path: list[dict[str, float]] = []
    for checkpoint in record["checkpoints"]:
        if not path or checkpoint["test_accuracy"] > path[-1]["test_accuracy"]:
            path.append(checkpoint)
    return path


def slow_matched(own: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """The path's polyline over accuracy, looked up at ten levels that both paths reach."""
    path, another = slow_path(own), slow_path(other)
    x, other_x = ([c["test_accuracy"] for c in p] for p in (path, another))
    low, high = max(x[0], other_x[0]), min(x[-1], other_x[-1])
    levels = np.linspace(low, high, 10) if low < high else [high]
    # Below where the path starts, np.interp gives the first checkpoint's values.
    return {name: float(np.mean(np.interp(levels, x, [c[name] for c in path]))) for name in path[0]}
