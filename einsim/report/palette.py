"""One colour for each thing that is named: the same Einsum, cause or component looks the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Hues that stay apart for colour-blind readers and on both backgrounds, after Okabe and Ito's set, with
# more of them because two cascades side by side have up to eighteen Einsums.
WORK = (
    "#3b7dd8", "#e08a1e", "#2a9d78", "#c2569b", "#8c6bd1", "#c9a227",
    "#4fb3d9", "#b5523b", "#6b8e23", "#d87093", "#5f6fb0", "#9a7b4f",
    "#1f6f78", "#e0697a", "#7a5195", "#58a65c", "#bc7f36", "#35608f",
)  # fmt: skip

# Tensors on their way to and from a memory are paler than the work that waits for them.
MOVES = ("#8fa3bf", "#b9a5cf", "#9dbf9f", "#cfb48f", "#c99da3", "#93bcc0", "#b8b88a", "#a9a9b8")

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


def slice_colours(names: Iterable[str], einsums: Mapping[str, str]) -> dict[str, str]:
    """Colours of a timeline's slices: an Einsum's own, a pale one for a tensor that is loaded or stored."""
    known = dict.fromkeys(names)
    moved = dict.fromkeys(name.split()[-1] for name in known if name not in einsums)
    pale = {tensor: MOVES[place % len(MOVES)] for place, tensor in enumerate(moved)}
    return {name: einsums[name] if name in einsums else pale[name.split()[-1]] for name in known}


def stall_colour(cause: str) -> str:
    """The colour of a stall cause; grey for one that has none of its own."""
    return STALLS.get(cause.replace("_", " "), OTHER_STALL)
