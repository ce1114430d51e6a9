"""The silicon suite: every row of ours, or of a file from elsewhere, beside what einsim predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.validation.row import GroupedRow
from einsim.validation.silicon.chip_figure import ChipFigure, read
from einsim.validation.silicon.figures import Judged, summary
from einsim.validation.silicon.file_kinds import NotKnown, read_file

ROWS = Path(__file__).parent / "rows"

Predict = Callable[[Sequence[ChipFigure]], Iterator[Judged]]
"""Gives each measurement's figures by level, in their order (`einsim.predicting`: it is a floor above)."""


class SiliconOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """All rows with their figures, and those that weren't judged."""

    rows: tuple[GroupedRow, ...]
    unknown: tuple[NotKnown, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a bar isn't met, or a row of what should be known is missed."""
        return any(not row.ok for row in self.rows) or any(one.missed for one in self.unknown)


def stored() -> tuple[ChipFigure, ...]:
    """Every row of ours."""
    return tuple(row for path in sorted(ROWS.glob("*.csv")) for row in read(path))


def chosen(cases: Sequence[str]) -> tuple[ChipFigure, ...]:
    """The rows of ours of the named machines, groups or networks, or all; SpecError for none of them."""
    rows = stored()
    if not cases:
        return rows
    names = {name for row in rows for name in (row.machine, row.group, row.name)}
    for case in cases:
        if case not in names:
            rule = "no machine, group or network that was measured has this name"
            raise SpecError("", rule, got=case, where="--case", hint=near(case, names))
    return tuple(row for row in rows if {row.machine, row.group, row.name} & set(cases))


def judge(rows: Sequence[ChipFigure], predict: Predict) -> SiliconOutcome:
    """Rows of each level, then the figures of groups and bars."""
    judged = list(predict(rows))
    found = [one for one in judged if one.by_level]
    return SiliconOutcome(
        rows=(*(made for one in found for made in one.rows()), *summary(found)),
        unknown=tuple(
            NotKnown(line=0, what=one.measured.case, why=one.why, missed=True) for one in judged if one.why
        ),
    )  # fmt: skip


def judge_file(path: Path, predict: Predict) -> SiliconOutcome:
    """As `judge`, of a file of one of the kinds that are known; SpecError for one that can't be read."""
    found = list(read_file(path))
    outcome = judge([one for one in found if isinstance(one, ChipFigure)], predict)
    unknown = (*(one for one in found if isinstance(one, NotKnown)), *outcome.unknown)
    return msgspec.structs.replace(outcome, unknown=unknown)
