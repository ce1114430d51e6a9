"""Which captured rows may be used to fit and which are held out: fixed before anything was fitted.

Held out is every row whose shape hashes to a multiple of three, whatever the variant (whole shapes), and
every row of one variant of each family, the one with the least hash (a whole variant). Microbenchmarks' rows
are never held out, because the constants of the architecture come from them, and they are in no error figure.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from einsim.validation.gpu.measurement import Measurement


def digest(text: str) -> int:
    """A stable hash of a text."""
    return int(sha256(text.encode()).hexdigest(), 16)


def is_micro(family: str) -> bool:
    """Whether it measures a GPU's constants."""
    return family.split("-", maxsplit=1)[0] == "micro"


def held_variants(rows: Iterable[Measurement]) -> frozenset[tuple[str, str]]:
    """(family, variant) of the one variant of each family that nothing is fitted on."""
    least: dict[str, str] = {}
    for row in rows:
        known = least.setdefault(row.family, row.variant)
        if digest(f"{row.family}/{row.variant}") < digest(f"{row.family}/{known}"):
            least[row.family] = row.variant
    return frozenset(pair for pair in least.items() if not is_micro(pair[0]))


def shape_is_held(row: Measurement) -> bool:
    """Whether the row's shape is held out, in all variants of its family."""
    return not is_micro(row.family) and digest(f"{row.family}/{row.sizes}") % 3 == 0


def split(rows: Iterable[Measurement]) -> tuple[tuple[Measurement, ...], tuple[Measurement, ...]]:
    """The rows to fit on, and the rows held out; microbenchmarks' rows are in neither."""
    every = tuple(row for row in rows if not is_micro(row.family))
    variants = held_variants(every)
    out = tuple(row for row in every if shape_is_held(row) or (row.family, row.variant) in variants)
    chosen = {row.key for row in out}
    return tuple(row for row in every if row.key not in chosen), out
