"""One row of evidence: a published or measured figure beside einsim's own."""

from __future__ import annotations

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """`ours` of a case held against `reference`.

    `error` is (ours - reference) / reference; it, `reference` and `limit` are None where nothing is stored or
    no limit is claimed, and then the row is ok. `level` is the evaluator that gave `ours`. `note` explains a
    difference.
    """

    suite: str
    case: str
    quantity: str
    level: str
    reference: float | None
    ours: float
    error: float | None
    limit: float | None
    ok: bool
    source: str
    note: str = ""


class GroupedRow(Row, frozen=True, kw_only=True):
    """A row with its group (machine and kind of work, or kernel family) and its side: fit or held-out."""

    group: str
    side: str


def held(
    *,
    suite: str,
    case: str,
    quantity: str,
    level: str,
    reference: float | None,
    ours: float,
    limit: float | None,
    source: str,
    note: str = "",
    never_below: bool = False,
    only_above: bool = False,
) -> Row:
    """A row with its error and verdict. With `never_below`, a figure under its reference fails too; with
    `only_above`, only one above it can fail.
    """
    error = None if reference is None else (ours - reference) / reference if reference else float(ours != 0)
    judged = limit if error is not None else None
    ok = (
        error is None
        or judged is None
        or ((error if only_above else abs(error)) <= judged and not (never_below and error < 0))
    )
    return Row(
        suite=suite, case=case, quantity=quantity, level=level, reference=reference, ours=ours, error=error,
        limit=judged, ok=ok, source=source, note=note,
    )  # fmt: skip
