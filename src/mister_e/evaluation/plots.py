"""Pictures of a scorecard, for papers and slides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mister_e.errors import MisterEError
from mister_e.files import replacing
from mister_e.metrics.reliability import MIN_PLOTTED_TURNS, Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_INK, _SOFT, _LINE, _ACCENT = "#1e222a", "#59616e", "#d5d7dd", "#4b4ea6"

#: Pixels an inch.
_DPI = 160


def save_confusion(path: Path, confusion: NDArray[np.int64], labels: Sequence[str]) -> None:
    """Draw a confusion matrix: colour by the fraction of the true class, with counts.

    :param path: a .png.
    :param confusion: turns by true and predicted class `[C, C]`.
    :param labels: names of the classes.
    :raises MisterEError: matplotlib is not installed.
    """
    from_true = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    size = 1.9 + 0.85 * len(labels)
    figure = _figure(size, size * 0.92)
    axes = figure.subplots()
    axes.imshow(from_true, cmap=_shades(), vmin=0, vmax=1)
    places = range(len(labels))
    # a $ in a name is no formula
    axes.set_xticks(places, labels, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(places, labels, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for row in places:
        for column in places:
            fraction = from_true[row, column]
            colour = "white" if fraction > 0.55 else _INK
            axes.text(column, row - 0.12, f"{fraction:.0%}", ha="center", va="center", color=colour, size=10)
            count = f"{confusion[row, column]:,}"
            axes.text(column, row + 0.23, count, ha="center", va="center", color=colour, size=7)
    _plain(axes)
    _save(figure, path)


def save_reliability(path: Path, before: Reliability, after: Reliability) -> None:
    """Draw accuracy against confidence, before and after calibration, with the fraction of turns in each bin.

    :param path: a .png.
    :param before: reliability without the temperature.
    :param after: reliability with it.
    :raises MisterEError: matplotlib is not installed.
    """
    figure = _figure(4.6, 5.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=_SOFT, linewidth=1, linestyle="--", label="perfect calibration")
    for reliability, name, style in ((before, "before", "o:"), (after, "after", "o-")):
        turns, confidence, right = reliability.sums.T
        filled = turns >= MIN_PLOTTED_TURNS
        upper.plot(
            confidence[filled] / turns[filled],
            right[filled] / turns[filled],
            style,
            color=_ACCENT if name == "after" else _SOFT,
            markersize=4,
            label=f"{name} calibration, ECE {reliability.error:.3f}",
        )
    bins = len(after.sums)
    middles = (np.arange(bins) + 0.5) / bins
    lower.bar(middles, after.sums[:, 0] / after.sums[:, 0].sum(), width=0.9 / bins, color=_ACCENT)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    lower.set(xlabel="confidence", ylabel="fraction of turns")
    upper.legend(frameon=False, loc="upper left", fontsize=8)
    for axes in (upper, lower):
        _plain(axes)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    """Make a figure without pyplot: no window, no display, no global state.

    :param width: inches.
    :param height: inches.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MisterEError("pictures need an extra: pip install 'mister-e[train]'") from None
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _shades() -> Colormap:
    """Colour map from white to the darkest shade of the accent."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("accent", ["#f7f7fb", "#8d8fd0", "#2c2e66"])


def _plain(axes: Axes) -> None:
    """Leave out the frame and the ticks."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, colors=_SOFT, labelsize=9)
    axes.xaxis.label.set_color(_SOFT)
    axes.yaxis.label.set_color(_SOFT)
    if not axes.images:
        axes.grid(color=_LINE, linewidth=0.6)
        axes.set_axisbelow(True)


def _save(figure: Figure, path: Path) -> None:
    # no date and no version inside: the same numbers give the same bytes
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
