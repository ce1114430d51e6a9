"""Draws predicted against measured seconds of the held-out rows, by kernel family: docs/img/gpu_scatter.png.

python -m einsim.validation.gpu.plot docs/img/gpu_scatter.png
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from einsim.validation.gpu.fit import DEVICES
from einsim.validation.gpu.suite import Comparison, points

LEVELS = {
    "roofline": "roofline, calibrated",
    "zero_fit": "model, nothing fitted",
    "calibrated": "model, calibrated",
}


COLOURS = [*colormaps["tab20"](range(20)), (0.3, 0.3, 0.3, 1.0)]


def scatter(chosen: Sequence[Comparison]) -> Figure:
    """One panel a level: measured microseconds across, predicted over measured up; a colour a family, dots
    for the H100 and crosses for the H200.
    """
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(LEVELS), sharey=True)
    for axes, (level, title) in zip(panels, LEVELS.items(), strict=True):
        told = set[str]()
        for index, family in enumerate(dict.fromkeys(point.row.family for point in chosen)):
            for gpu, marker in zip(DEVICES, "ox", strict=True):
                own = [point for point in chosen if (point.row.family, point.gpu) == (family, gpu)]
                across = [point.row.median_s * 1e6 for point in own]
                up = [getattr(point, f"{level}_s") / point.row.median_s for point in own]
                label = family if own and family not in told else None
                told |= {family} if own else set()
                axes.scatter(
                    across,
                    up,
                    s=12,
                    alpha=0.7,
                    label=label,
                    marker=marker,
                    color=[COLOURS[index]],
                    linewidths=1,
                )
        axes.axhspan(0.8, 1.25, color="0.9", zorder=0)
        axes.axhline(1.0, color="0.4", linewidth=0.8)
        axes.set(xscale="log", yscale="log", ylim=(0.05, 4), title=title, xlabel="measured, microseconds")
    panels[0].set_ylabel("predicted / measured")
    panels[-1].legend(fontsize=7, loc="lower right", ncols=2)
    return figure


if __name__ == "__main__":
    held = [point for name in DEVICES for point in points(name) if point.held]
    scatter(held).savefig(Path(sys.argv[1]), dpi=90)
