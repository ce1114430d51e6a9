"""What a search has found so far: figures with the points that have them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from einsim.dataflow.mapper.objective import Key, key_by, nondominated
from einsim.dataflow.mapper.point import GroupPoint
from einsim.specs.compiled import source_hash
from einsim.specs.kept import kept
from einsim.workloads.cascade import Cascade
from einsim.workloads.ops import OPS

Result_co = TypeVar("Result_co", covariant=True)


class Searching(Protocol[Result_co]):
    """A search; `stopped`: it was ended by the time or by the user."""

    stopped: bool

    def run(self) -> Result_co:
        """What it finds."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks, joules (with leakage) and the most bytes held on chip at once, and the groups that take them."""

    ticks: float
    joules: float
    held: float
    groups: tuple[GroupPoint, ...] = ()
    resident: tuple[str, ...] = ()
    global_buffer: str = ""

    def then(self, other: Found) -> Found:
        """One after the other: times and energies add, bytes are used in turn."""
        return Found(
            ticks=self.ticks + other.ticks, joules=self.joules + other.joules,
            held=max(self.held, other.held),
            groups=(*self.groups, *other.groups), resident=self.resident, global_buffer=self.global_buffer,
        )  # fmt: skip


def score(found: Found, objective: str) -> Key:
    """The objective and the figure that breaks ties; smaller is better."""
    return key_by(objective, found.ticks, found.joules, found.held)


def best_of(found: Sequence[Found], objective: str) -> list[Found]:
    """Those worth keeping: the best one; for EDP and for a front every one that no other beats."""
    if not found:
        return []
    if objective not in ("edp", "pareto"):
        return [min(found, key=lambda one: score(one, objective))]
    if objective == "edp":
        least_held = sorted(found, key=lambda one: one.held)
        return nondominated(least_held, lambda one: (one.ticks, one.joules))
    return nondominated(found, lambda one: (one.ticks, one.joules, one.held))


def searched(
    search: Searching[Result_co], kind: type[Result_co], cascade: Cascade, *facts: object
) -> Result_co:
    """What a search finds, or found before: all of it follows from the `facts` and the mapper's code, but
    where a user's own ops have a part in it.
    """
    ops = {op for einsum in cascade.einsums for op in einsum.ops}
    ours = all(OPS.where(op) == "einsim" for op in ops if op in OPS)
    code = source_hash(Path(__file__).with_name("best.py"))
    return kept(facts, kind, search.run, code, lambda: ours and not search.stopped)
