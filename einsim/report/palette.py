"""One colour for each thing that is named: the same Einsum, cause or component looks the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable

# Hues that stay apart for colour-blind readers and on both backgrounds, after Okabe and Ito's set, with
# more of them because a cascade has up to a dozen Einsums.
WORK = (
    "#3b7dd8", "#e08a1e", "#2a9d78", "#c2569b", "#8c6bd1", "#c9a227",
    "#4fb3d9", "#b5523b", "#6b8e23", "#d87093", "#5f6fb0", "#9a7b4f",
)  # fmt: skip

# Waiting is drawn in greys and ambers, so that no stall looks like work.
STALLS = {
    "bandwidth": "#d9534f",
    "dependency": "#9aa3ad",
    "fill": "#c3b091",
    "drain": "#b39c7d",
    "fill and drain": "#c3b091",
    "capacity": "#a0522d",
}
OTHER_STALL = "#b8bec6"


def work_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for every name, in the order in which names first appear."""
    return {name: WORK[place % len(WORK)] for place, name in enumerate(dict.fromkeys(names))}


def stall_colour(cause: str) -> str:
    """The colour of a stall cause; grey for one that has none of its own."""
    return STALLS.get(cause.replace("_", " "), OTHER_STALL)
