"""Exposure against held-out accuracy along training, one panel per victim and attack, one line per defence."""

from typing import Any

from repro.harness.evidence.table import Table
from repro.papers.desanctis.experiments.comparative import EARLY_STOPPING
from repro.papers.desanctis.victims.defences import STYLES, style, title
from repro.papers.desanctis.victims.section import attacks, poison, victims
from repro.report.figures import canvas, look
from repro.report.report import Report
from repro.report.summary import mean, numeric, ordered
from repro.report.wording import capital

Point = tuple[float, float]  # held-out accuracy and AUC in the target class
_ROOM = 0.06  # how far the axis extends to the left of the least accurate end


def figure(report: Report, evidence: Table) -> str | None:
    """The picture's Markdown; None if no poisoned victim was measured along its training."""
    followed = evidence.where(phase="trajectory")
    shown, kinds = [a for a in attacks(followed) if a != "none"], victims(followed)
    if not shown or not kinds:
        return None
    found = evidence.where(phase="final")
    ends: list[Point] = []
    with look():
        size = {"height": 3.5 * len(kinds) + 1.1, "width": max(5.5, 4.75 * len(shown))}
        canvas_, axes = canvas(len(kinds), len(shown), **size, sharex=True, sharey="col")
        for line, victim in zip(axes, kinds, strict=True):
            for axis, attack in zip(line, shown, strict=True):
                paths = trajectories(followed, victim, attack)
                if stop := stopped(found, victim, attack):
                    paths[EARLY_STOPPING] = [stop]
                for defence in ordered(list(paths), tuple(STYLES)):
                    _draw(axis, defence, paths[defence])
                    ends.append(paths[defence][-1])
                axis.set_title(f"{capital(victim)}, {poison(attack)}")
            line[0].set_ylabel("AUC in the target class")
        for axis in axes[-1]:
            axis.set_xlabel("held-out accuracy")
        axes[0][0].set_xlim(left=max(0.0, min(accuracy for accuracy, _ in ends) - _ROOM))
        handles: dict[str, Any] = {}
        for axis in axes.flat:
            handles = dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True)) | handles
        order = ordered(list(handles), [title(defence) for defence in STYLES])
        canvas_.legend(
            [handles[o] for o in order], order, loc="outside lower center", ncols=4, handlelength=3.2
        )
        return report.picture(
            "comparative",
            canvas_,
            "AUC in the target class against held-out accuracy along training, by victim, attack and defence",
        )


def trajectories(followed: Table, victim: str, attack: str) -> dict[str, list[Point]]:
    """By defence, its victims' figures at each checkpoint, in order."""
    rows = followed.where(victim=victim, attack=attack)
    paths: dict[str, list[tuple[float, Point]]] = {}
    for row in rows:
        epoch, accuracy, auc = (numeric(row, c) for c in ("epochs", "test_accuracy", "target_auc"))
        if epoch is not None and accuracy is not None and auc is not None:
            paths.setdefault(str(row["regulariser"]), []).append((epoch, (accuracy, auc)))
    return {defence: [point for _, point in sorted(path)] for defence, path in paths.items()}


def stopped(final: Table, victim: str, attack: str) -> Point | None:
    """The mean point at which early stopping stops; None if it was not tried."""
    rows = final.where(victim=victim, attack=attack, regulariser=EARLY_STOPPING)
    accuracy, auc = mean(rows, "test_accuracy"), mean(rows, "target_auc")
    return (accuracy.mean, auc.mean) if accuracy and auc else None


def _draw(axis: Any, defence: str, path: list[Point]) -> None:
    """A line through the path, and over all lines a marker at its end."""
    looks = style(defence)
    size = {
        "markersize": 11 if looks["marker"] == "*" else 7,
        "markeredgecolor": "white",
        "markeredgewidth": 0.7,
    }
    axis.plot(*zip(*path, strict=True), **(looks | size), markevery=[len(path) - 1], label=title(defence))
    axis.plot(*path[-1], **(looks | size | {"linestyle": "none"}), zorder=4)
