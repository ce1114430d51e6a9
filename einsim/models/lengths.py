"""Sums over growing lengths from few of them: where the cost is linear, a few lengths say it all.

The cost that is looked at is time. Energy and bytes are summed with the same weights.

Weights add up to the steps, and they are whole numbers but where requests share a step. So a sum of results
times weights is exact wherever the cost is linear between lengths that were looked at. Whether it is, is
looked at: a length in the middle has to lie on the line between the ends, else the run is cut in two there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import msgspec

from einsim.workloads.models.model import Phase

TOLERANCE = 1e-3
"""How far the middle may be from the line, as a share, before a run of lengths is cut."""
MOST_LENGTHS = 17
"""Lengths that are looked at in a phase, about, at most; what is left then of a deviation is told."""
FEW = 3
"""Steps of a run that are each judged."""


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """Lengths that stand for all, each with its steps, and how far a middle's cost was from its line."""

    steps: dict[int, Fraction]
    deviation: float = 0.0


def weigh(phase: Phase, cost: Callable[[int], float]) -> Weighed:
    """The lengths at which a phase is judged; `cost` is a step's time at a length.

    A step that works for several requests at their own lengths costs the mean of what it would cost with all
    of them at each one's length: exact as far as a cost is what is shared and what is each request's own.
    """
    chart = _Chart(cost, phase.kinks)
    weights: dict[int, Fraction] = {}
    for run in phase.lengths:
        for length, steps in chart.weights(run).items():
            share = Fraction(steps, len(phase.lengths) if phase.together else 1)
            weights[length] = weights.get(length, Fraction(0)) + share
    taken = {length: steps for length, steps in sorted(weights.items()) if steps}
    return Weighed(steps=taken, deviation=chart.deviation)


class _Chart:
    """A cost over lengths, each looked at once."""

    def __init__(self, cost: Callable[[int], float], kinks: Sequence[int]) -> None:
        self.cost, self.kinks = cost, kinks
        self.known: dict[int, float] = {}
        self.deviation = 0.0

    def at(self, length: int) -> float:
        if length not in self.known:
            self.known[length] = self.cost(length)
        return self.known[length]

    def weights(self, run: range) -> dict[int, int]:
        """Steps by length of one request: the run that is least like a line is cut first."""
        ends = [at for at in range(len(run)) if self._kinked(run, at)]
        starts = [0, *(at + 1 for at in ends)]
        runs = [run[first : last + 1] for first, last in zip(starts, [*ends, len(run) - 1], strict=True)]
        away = {piece: self._away(piece) for piece in runs}
        while len(self.known) < MOST_LENGTHS:
            worst = max(away, key=lambda piece: (away[piece], -piece[0]))
            if away[worst] <= TOLERANCE:
                break
            del away[worst]
            half = _middle(worst) + 1
            away |= {piece: self._away(piece) for piece in (worst[:half], worst[half:])}
        self.deviation = max(self.deviation, *away.values())
        found: dict[int, int] = {}
        for piece in away:
            for length, steps in _line(piece).items():
                found[length] = found.get(length, 0) + steps
        return found

    def _kinked(self, run: range, at: int) -> bool:
        """Whether a slope changes at a step's length, or between it and the next step's."""
        following = run[at] + run.step
        return any(run[at] <= kink < following for kink in self.kinks) and at + 1 < len(run)

    def _away(self, run: range) -> float:
        """How far the middle is from the line between the ends, as a share of it."""
        if len(run) <= FEW:
            return 0.0
        part = Fraction(_middle(run), len(run) - 1)
        line = self.at(run[0]) + (self.at(run[-1]) - self.at(run[0])) * float(part)
        return abs(self.at(run[_middle(run)]) - line) / line if line else 0.0


def _middle(run: range) -> int:
    return (len(run) - 1) // 2


def _line(run: range) -> dict[int, int]:
    """Lengths and whole weights that sum a line over a run: its ends, and its middle where there is one."""
    if len(run) <= FEW:
        return dict.fromkeys(run, 1)
    if len(run) % 2 == 0:
        return {run[0]: len(run) // 2, run[-1]: len(run) // 2}
    outer = _middle(run) // 2
    return {run[0]: outer, run[_middle(run)]: len(run) - 2 * outer, run[-1]: outer}
