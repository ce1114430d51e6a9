"""Compares results with what was expected and tells the first difference: cycle, place, operands."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

from einsim.rtl_models.bench.job import Event

SHOWN = 6
"""Operand values that a message shows."""


class Scoreboard:
    """Holds the expected events of every lane in order; `saw` judges each result as it comes."""

    def __init__(self, expected: Iterable[Event]) -> None:
        self.waiting: dict[int, deque[Event]] = defaultdict(deque)
        self.differences: list[str] = []
        self.matched = 0
        for event in expected:
            self.waiting[event.lane].append(event)

    def saw(self, lane: int, value: int, cycle: int | None = None) -> bool:
        """One result of the design; False when it differs from the next that was expected on its lane."""
        if not self.waiting[lane]:
            self.differences.append(f"cycle {cycle} lane {lane}: got {value}, expected nothing more")
            return False
        event = self.waiting[lane].popleft()
        wrong = []
        if event.value != value:
            wrong.append(f"got {value}, expected {event.value}")
        if event.cycle is not None and event.cycle != cycle:
            wrong.append(f"came in cycle {cycle}, expected in cycle {event.cycle}")
        if not wrong:
            self.matched += 1
            return True
        self.differences.append(f"cycle {cycle} {place(event)}: {'; '.join(wrong)}{operands(event)}")
        return False

    def saw_rows(self, rows: Iterable[Sequence[int]], cycles: Sequence[int | None] = ()) -> bool:
        """Results row by row, a value a lane, each row in its cycle; False when one differs."""
        right = [
            self.saw(lane, int(value), cycles[number] if number < len(cycles) else None)
            for number, row in enumerate(rows)
            for lane, value in enumerate(row)
        ]
        return all(right)

    def finish(self) -> list[str]:
        """All differences, with one for each lane that still waits for results."""
        missing = [
            f"{place(lane[0])}: {len(lane)} results never came, the first {lane[0].value}{operands(lane[0])}"
            for lane in self.waiting.values()
            if lane
        ]
        return self.differences + missing

    def check(self) -> None:
        """AssertionError with the first difference, if there is one; for the end of a test."""
        found = self.finish()
        if found:
            raise AssertionError(f"{len(found)} differences, the first: {found[0]}")


def place(event: Event) -> str:
    """Where the result was made, or at least its lane."""
    return event.where or f"lane {event.lane}"


def operands(event: Event) -> str:
    """The operands in words, shortened; empty when unknown."""
    if event.operands is None:
        return ""
    a, b = event.operands
    return f"; a = {short(a)}, b = {short(b)}"


def short(values: Sequence[int]) -> str:
    """The first values of a list, and how many there are when not all are shown."""
    shown = ", ".join(str(value) for value in values[:SHOWN])
    return f"[{shown}]" if len(values) <= SHOWN else f"[{shown}, ... {len(values)} values]"


def signed(word: int, bits: int) -> int:
    """The word read as two's complement of `bits` bits."""
    return word - (1 << bits) if word >> (bits - 1) & 1 else word


def lanes(word: int, bits: int, count: int) -> list[int]:
    """A packed word's lanes, lane 0 lowest, two's complement."""
    mask = (1 << bits) - 1
    return [signed(word >> (i * bits) & mask, bits) for i in range(count)]


def pack(values: Iterable[int], bits: int) -> int:
    """Lanes of `bits` bits in one word, lane 0 lowest; negative values as two's complement."""
    mask = (1 << bits) - 1
    word = 0
    for i, value in enumerate(values):
        word |= (int(value) & mask) << (i * bits)
    return word
