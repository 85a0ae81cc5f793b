"""The report's pictures, as PNG. Drawn on figures of their own, without pyplot, so that two threads can draw at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from math import isfinite, tau
from typing import Any

from twin_core.records import Difference

COLOURS = ("#9aa0a6", "#4063d8", "#cb3c33", "#389826", "#9558b2", "#b8860b")
"""By system in order; lines differ in their dashes too, for who does not see the colours."""
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


def radar(axes: Sequence[str], systems: Mapping[str, Mapping[str, float]]) -> bytes:
    """Systems between the floor (0) and the ceiling (1). What lies outside is drawn at -0.1 or 1.1; what is missing, at 0 without a dot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    plot: Any = figure.add_subplot(projection="polar")
    angles = [tau * index / len(axes) for index in range(len(axes))]
    for index, (name, values) in enumerate(systems.items()):
        found = [values.get(axis, float("nan")) for axis in axes]
        drawn = [min(max(value, -0.1), 1.1) if isfinite(value) else 0.0 for value in found]
        look = {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)]}
        plot.plot([*angles, angles[0]], [*drawn, drawn[0]], label=name, linewidth=1.8, **look)
        dots = [(angle, value) for angle, value, real in zip(angles, drawn, found, strict=True) if isfinite(real)]
        if dots:
            plot.scatter(*zip(*dots, strict=True), color=look["color"], s=18)
    plot.set_xticks(angles, axes)
    plot.set_ylim(-0.15, 1.15)
    plot.set_yticks([0, 0.5, 1], ["floor", "", "ceiling"], fontsize=8, color="#666666")
    plot.set_theta_zero_location("N")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return _png(figure)


def intervals(differences: Mapping[str, Difference], margins: Mapping[str, float]) -> bytes:
    """One panel per axis, since each has its own unit: the difference, its interval, nought and the margin."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 0.62 * len(differences) + 0.3), layout="constrained")
    panels: Any = figure.subplots(len(differences), 1, squeeze=False)
    for (axis, found), panel in zip(differences.items(), panels[:, 0], strict=True):
        margin = margins.get(axis, 0.0)
        good = found.low > margin
        panel.errorbar(
            [found.mean],
            [0],
            xerr=[[found.mean - found.low], [found.high - found.mean]],
            fmt="o" if good else "X",
            color="#389826" if good else "#cb3c33",
            capsize=4,
        )
        panel.axvline(0, color="#666666", linewidth=0.8)
        if margin:
            panel.axvline(margin, color="#cb3c33", linewidth=0.8, linestyle=":")
        reach = max(abs(found.low), abs(found.high), abs(margin)) * 1.15 or 1
        panel.set_xlim(-reach, reach)
        panel.set_yticks([0], [axis])
        panel.set_ylim(-1, 1)
        panel.tick_params(axis="x", labelsize=7)
        panel.spines[["top", "right", "left"]].set_visible(False)
    return _png(figure)


def _png(figure: Any) -> bytes:
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=130)
    return drawn.getvalue()
