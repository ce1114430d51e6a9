"""Memories as a graph: each names its parents, the memories that it is filled from; DRAM has none.

A graph is the parents of each memory by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from einsim.specs.errors import RuleError
from einsim.specs.near import near

Links = Mapping[str, tuple[str, ...]]

MOST_PATHS = 16
"""Ways from DRAM to one memory at most."""


def check_links(links: Links) -> None:
    """RuleError for a parent that isn't there or is named twice, a ring, or too many ways to a memory."""
    for name, parents in links.items():
        where = ("memories", name, "parent")
        for parent in parents:
            if parent not in links:
                raise RuleError("no memory of this name", got=parent, hint=near(parent, links), at=where)
            if parents.count(parent) > 1:
                raise RuleError("names a memory twice", got=parent, at=where)
        _check_ring(links, name, ())
    ways: dict[str, int] = {}
    for name in sorted(links, key=lambda name: len(outside(links, name))):
        ways[name] = sum(ways[parent] for parent in links[name]) if links[name] else 1
        if ways[name] > MOST_PATHS:
            where = ("memories", name, "parent")
            raise RuleError(f"must leave at most {MOST_PATHS} ways from DRAM to it", got=ways[name], at=where)


def check_buses(memories: Iterable[tuple[str, str, int | None]]) -> None:
    """RuleError where memories, each with its bus ("": none) and that one's rate, differ in a bus's rate."""
    first: dict[str, tuple[str, int | None]] = {}
    for name, bus, rate in memories:
        other, said = first.setdefault(bus, (name, rate))
        if bus and rate != said:
            rule = f"must be as {other} says of bus '{bus}', {said:,}"
            raise RuleError(rule, got=rate, at=("memories", name, "bus_bandwidth"))


def _check_ring(links: Links, name: str, seen: tuple[str, ...]) -> None:
    if name in seen:
        ring = " -> ".join((*seen[seen.index(name) :], name))
        raise RuleError(f"memories form a ring ({ring})", at=("memories", seen[-1], "parent"))
    for parent in links.get(name, ()):
        _check_ring(links, parent, (*seen, name))


def outside(links: Links, name: str) -> tuple[str, ...]:
    """All memories outside one: each before those outside it, so DRAM is the last."""
    found: list[str] = []

    def visit(one: str) -> None:
        for parent in reversed(links[one]):
            if parent not in found:
                visit(parent)
        found.append(one)

    visit(name)
    return tuple(reversed(found[:-1]))


def paths(links: Links, name: str) -> tuple[tuple[str, ...], ...]:
    """The ways from DRAM inward to a memory: itself the last, DRAM left out, by parents as written."""
    if not links[name]:
        return ((),)
    return tuple((*way, name) for parent in links[name] for way in paths(links, parent))
