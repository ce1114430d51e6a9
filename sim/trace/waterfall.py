"""The waterfall: which Einsum each engine works on over time, and why it stands still between.

Source of the form: Nayak et al., FuseMax, MICRO 2024: one lane a unit, one bar a tile of an Einsum.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from einsim.sim.breakdown import reason
from einsim.sim.trace.recording import Recording
from einsim.specs.errors import SpecError
from einsim.specs.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES: Final = 14.0
LANE_INCHES: Final = 0.62
LETTER_SHARE: Final = 0.0062  # of the picture's width that a letter of a bar's name takes
MOST_SPANS: Final = 3000  # more bars than pixels show nothing
IDLE_FACE, IDLE_EDGE = "#f1f1f1", "#c9c9c9"


def write_waterfall(recording: Recording, path: Path, colours: Mapping[str, str], *, title: str = "") -> None:
    """Draw a PNG or SVG, by the path's suffix; `colours` are by span name. The same bytes for the same run.

    SpecError for a window with too much in it to be seen, and where matplotlib is not installed.
    """
    if len(recording.spans) > MOST_SPANS:
        rule = f"a picture shows at most {MOST_SPANS} spans; choose a shorter window with --to"
        raise SpecError("", rule, got=len(recording.spans), where=str(path))
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        rule = "needs matplotlib (pip install matplotlib), or a name that ends in .pftrace, .json or .vcd"
        raise SpecError("", rule, where=str(path)) from None
    with mpl.rc_context({"svg.hashsalt": "einsim", "font.family": "DejaVu Sans", "font.size": 9}):
        figure = _draw(Figure, recording, colours, title)
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        with replacing(path) as part:
            figure.savefig(part, dpi=110, metadata=metadata, format=path.suffix[1:])


def _draw(make: type[Figure], recording: Recording, colours: Mapping[str, str], title: str) -> Figure:
    lanes = [*recording.units, *(port for port in recording.ports if _used(recording, port))]
    rows = len(lanes) + (1 if recording.levels else 0)
    figure = make(figsize=(WIDTH_INCHES, 1.3 + LANE_INCHES * rows), layout="constrained")
    weights = [len(lanes), 1.25] if recording.levels else [1]
    found = figure.subplots(len(weights), 1, sharex=True, squeeze=False, height_ratios=weights)
    axes = [row[0] for row in found]
    _lanes(axes[0], recording, lanes, colours)
    if recording.levels:
        _levels(axes[1], recording)
    axes[-1].set_xlabel("cycles")
    axes[0].set_title(title or recording.mapping.splitlines()[0], loc="left", fontsize=10.5)
    names = [name for name in colours if any(span.name == name for span in recording.spans)]
    handles = [axes[0].barh(0, 0, color=colours[name], label=name) for name in names]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=max(1, min(len(names), 16)), frameon=False
    )
    return figure


def _used(recording: Recording, port: str) -> bool:
    return any(span.engine == port for span in recording.spans)


def _lanes(axes: Axes, recording: Recording, lanes: list[str], colours: Mapping[str, str]) -> None:
    width = recording.cycle(recording.end - recording.begin)
    for stall in recording.stalls:
        left, length = recording.cycle(stall.start), recording.cycle(stall.end - stall.start)
        y = lanes.index(stall.unit)
        axes.barh(
            y, length, left=left, height=0.8, color=IDLE_FACE, edgecolor=IDLE_EDGE, hatch="////", linewidth=0
        )
        _label(axes, reason(stall.cause, stall.what), left, length, y, width, "#777777")
    for span in recording.spans:
        left, length = recording.cycle(span.start), recording.cycle(span.end - span.start)
        y = lanes.index(span.engine)
        colour = colours[span.name]
        axes.barh(y, length, left=left, height=0.8, color=colour, edgecolor="white", linewidth=0.4)
        _label(axes, span.name, left, length, y, width, "white" if span.kind == "compute" else "#222222")
    axes.set_yticks(range(len(lanes)), lanes)
    axes.set_ylim(len(lanes) - 0.45, -0.55)
    axes.set_xlim(recording.cycle(recording.begin), recording.cycle(recording.end))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)


def _label(axes: Axes, text: str, left: float, length: float, y: float, width: float, colour: str) -> None:
    """The name in the bar, where there is room for it."""
    if length >= len(text) * LETTER_SHARE * width:
        axes.text(
            left + length / 2, y, text, ha="center", va="center", fontsize=7.5, color=colour, clip_on=True
        )


def _levels(axes: Axes, recording: Recording) -> None:
    """How full each buffer is, against the most that it holds in this window."""
    for memory in sorted({level.memory for level in recording.levels}):
        kept = [level for level in recording.levels if level.memory == memory]
        most = max(level.held_bytes for level in kept)
        if not most:
            continue
        times = [recording.cycle(level.tick) for level in kept] + [recording.cycle(recording.end)]
        shares = [100 * level.held_bytes / most for level in kept]
        axes.step(
            times, [*shares, shares[-1]], where="post", linewidth=1.1, label=f"{memory} ({_size(most)})"
        )
    axes.set_ylim(0, 112)
    axes.set_ylabel("% held")
    axes.legend(loc="lower right", fontsize=7.5, ncols=4, framealpha=0.85)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _size(count: int) -> str:
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
