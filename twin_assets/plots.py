"""Small pictures for the asset pages, drawn only when a run changed something: matplotlib takes a second to import.

They show counts over categories. Pictures of models and evaluations belong to their own assets.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, BAR = "#30353b", "#4c78a8"
_SIZE = (4.2, 1.8)
"""Inches, at 110 dots each: about 15 kB of PNG, which the event log keeps with the materialisation."""


def bars(counts: Mapping[str, int], *, title: str) -> str:
    """Markdown with an inline PNG: one horizontal bar per name, in the order given."""
    figure, axes = _canvas(title)
    names = list(counts)
    drawn = axes.barh(names, [counts[name] for name in names], color=BAR)
    axes.bar_label(drawn, padding=3, fontsize=7, color=INK)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return _inline(figure, title)


def histogram(counts: Mapping[int, int], *, width: int, title: str, unit: str) -> str:
    """Markdown with an inline PNG: bars at lower bounds, each `width` wide."""
    figure, axes = _canvas(title)
    axes.bar(list(counts), list(counts.values()), width=width * 0.92, align="edge", color=BAR)
    axes.set_xlabel(unit, fontsize=7, color=INK)
    return _inline(figure, title)


def curve(values: Mapping[int, float], *, title: str, unit: str) -> str:
    """Markdown with an inline PNG: one line through the values."""
    figure, axes = _canvas(title)
    axes.plot(list(values), list(values.values()), color=BAR, linewidth=1.2)
    axes.set_xlabel(unit, fontsize=7, color=INK)
    return _inline(figure, title)


def _canvas(title: str) -> tuple[Figure, Axes]:
    # Without pyplot: no global state, no window system, safe in a thread.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=8, loc="left", color=INK)
    axes.tick_params(labelsize=7, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _inline(figure: Figure, title: str) -> str:
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return f"![{title}](data:image/png;base64,{base64.b64encode(png.getvalue()).decode()})"
