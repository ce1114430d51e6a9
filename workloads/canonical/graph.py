"""A canonical labelling of a coloured graph: colour refinement, and individualisation where it leaves cells.

Two graphs have equal certificates exactly if they are isomorphic. Refinement is Weisfeiler and Leman's; the
search over individualised vertices is McKay's (Practical graph isomorphism, 1981) with the one pruning that
cascades need: a vertex whose first leaf looks like an earlier one's is that one's mirror image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from einsim.specs.errors import EinsimError

MOST_LEAVES = 20_000
"""Labellings compared before the graph is given up as too symmetric."""

Colour = tuple[str | int | float | tuple[object, ...], ...]
Cells = dict[int, list[int]]
"""Vertices by cell; a cell is named by the number of vertices in the cells before it."""
Certificate = tuple[tuple[int, int, int], ...]


class Graph:
    """Vertices with a colour, the first word of which is their kind, and edges with a label. Both may carry a
    detail that isn't compared, but decides among labellings that look alike; those of kind `first` do before
    others.
    """

    def __init__(self, first: str = "") -> None:
        self.first = first
        self.colours: list[Colour] = []
        self.details: list[Colour] = []
        self.edges: list[tuple[int, Colour, int, Colour]] = []

    def vertex(self, *colour: str | int | tuple[object, ...], detail: Colour = ()) -> int:
        """A new vertex's number."""
        self.colours.append(colour)
        self.details.append(detail)
        return len(self.colours) - 1

    def edge(self, start: int, end: int, *label: str | int, detail: Colour = ()) -> None:
        """A directed edge; equal edges count."""
        self.edges.append((start, label, end, detail))

    def exact(self, only: str = "") -> Graph:
        """The graph with the details as part of its colours and labels; `only` of one kind of vertex."""
        found = Graph()
        details = [d if only in ("", c[0]) else () for c, d in zip(self.colours, self.details, strict=True)]
        found.colours = [(*c, d) for c, d in zip(self.colours, details, strict=True)]
        found.details = [()] * len(self.colours)
        found.edges = [
            (start, label if only else (*label, detail), end, ()) for start, label, end, detail in self.edges
        ]
        return found


class Labelling:
    """Vertices in canonical order, and the digest that equals another graph's exactly if they are isomorphic.

    EinsimError for a graph with more than `MOST_LEAVES` labellings to compare.
    """

    def __init__(self, graph: Graph) -> None:
        search = _SmallestLabelling(graph)
        certificate, colour = search.best()
        self.order = sorted(range(len(colour)), key=colour.__getitem__)
        text = repr((sorted(map(repr, graph.colours)), search.labels, certificate))
        self.digest = hashlib.sha256(text.encode()).hexdigest()


def refined(graph: Graph) -> list[int]:
    """The stable colouring: a number for each vertex that isomorphic graphs share."""
    return _SmallestLabelling(graph).refined()[0]


class _SmallestLabelling:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.labels = sorted({repr(label) for _, label, _, _ in graph.edges})
        number = {label: at for at, label in enumerate(self.labels)}
        self.edges = [(start, number[repr(label)], end) for start, label, end, _ in graph.edges]
        self.near: list[list[tuple[int, int]]] = [[] for _ in graph.colours]
        for start, label, end in self.edges:
            self.near[start].append((2 * label, end))
            self.near[end].append((2 * label + 1, start))
        self.leaves = 0
        self.order: list[tuple[int, int]] = []

    def best(self) -> tuple[Certificate, list[int]]:
        """The least certificate and the labels that give it."""
        colour, cells = self.refined()
        return self._least(colour, cells)

    def refined(self) -> tuple[list[int], Cells]:
        """The coarsest stable colouring that is finer than the graph's own."""
        groups: dict[str, list[int]] = {}
        for vertex, own in enumerate(self.graph.colours):
            groups.setdefault(repr(own), []).append(vertex)
        colour, cells, start = [0] * len(self.graph.colours), Cells(), 0
        for _, members in sorted(groups.items()):
            cells[start] = members
            for vertex in members:
                colour[vertex] = start
            start += len(members)
        self._refine(colour, cells, range(len(colour)))
        return colour, cells

    def _refine(self, colour: list[int], cells: Cells, changed: Iterable[int]) -> None:
        """Split cells until their members have the same neighbours, in rounds that no numbering sways."""
        near = self.near
        while changed:
            touched = {colour[other] for vertex in changed for _, other in near[vertex]}
            splits: list[tuple[int, dict[tuple[tuple[int, int], ...], list[int]]]] = []
            for cell in touched:
                members = cells[cell]
                if len(members) == 1:
                    continue
                found: dict[tuple[tuple[int, int], ...], list[int]] = {}
                for vertex in members:
                    seen = tuple(sorted([(label, colour[other]) for label, other in near[vertex]]))
                    found.setdefault(seen, []).append(vertex)
                if len(found) > 1:
                    splits.append((cell, found))
            fresh: list[int] = []
            for cell, found in splits:
                start = cell
                for seen in sorted(found):
                    cells[start] = found[seen]
                    if start != cell:
                        for vertex in found[seen]:
                            colour[vertex] = start
                        fresh += found[seen]
                    start += len(found[seen])
            changed = fresh

    def _least(self, colour: list[int], cells: Cells) -> tuple[Certificate, list[int]]:
        cell = _target(cells)
        if cell is None:
            return self._leaf(colour), colour
        best: tuple[Certificate, list[int]] | None = None
        firsts: set[Certificate] = set()
        for vertex in self._ordered(cells[cell]):
            child = self._individualised(colour, cells, cell, vertex)
            first = self._first_leaf(*child)
            if first in firsts:
                continue
            firsts.add(first)
            found = self._least(*child)
            if best is None or found[0] < best[0]:
                best = found
        assert best is not None
        return best

    def _first_leaf(self, colour: list[int], cells: Cells) -> Certificate:
        cell = _target(cells)
        while cell is not None:
            colour, cells = self._individualised(colour, cells, cell, self._ordered(cells[cell])[0])
            cell = _target(cells)
        return self._leaf(colour)

    def _individualised(
        self, colour: list[int], cells: Cells, cell: int, vertex: int
    ) -> tuple[list[int], Cells]:
        colour, cells = list(colour), dict(cells)
        others = [other for other in cells[cell] if other != vertex]
        cells[cell], cells[cell + 1] = [vertex], others
        for other in others:
            colour[other] = cell + 1
        self._refine(colour, cells, others)
        return colour, cells

    def _ordered(self, members: list[int]) -> list[int]:
        """By what they are in detail, so that the choice among mirror images isn't the numbering's."""
        if not self.order:
            graphs = (self.graph.exact(self.graph.first), self.graph.exact())
            self.order = list(zip(*(_SmallestLabelling(graph).refined()[0] for graph in graphs), strict=True))
        return sorted(members, key=self.order.__getitem__)

    def _leaf(self, colour: list[int]) -> Certificate:
        self.leaves += 1
        if self.leaves > MOST_LEAVES:
            raise EinsimError(f"a cascade too symmetric to tell apart: more than {MOST_LEAVES} labellings")
        return tuple(sorted([(colour[start], label, colour[end]) for start, label, end in self.edges]))


def _target(cells: Cells) -> int | None:
    """The first of the smallest cells with several members."""
    several = [(len(members), cell) for cell, members in cells.items() if len(members) > 1]
    return min(several)[1] if several else None
