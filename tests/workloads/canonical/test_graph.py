"""Digests are equal exactly for isomorphic graphs, whatever the numbering, and like parts cost no factorial."""

from __future__ import annotations

import itertools
import random

import pytest

from einsim.specs.errors import EinsimError
from einsim.workloads.canonical import graph as module
from einsim.workloads.canonical.graph import Graph, Labelling

Edges = frozenset[tuple[int, int]]


def graph(vertices: int, edges, numbering=None) -> Graph:
    order = numbering or range(vertices)
    found = Graph()
    for _ in range(vertices):
        found.vertex("v")
    for start, end in edges:
        found.edge(order[start], order[end], "e")
    return found


def digest(vertices: int, edges) -> str:
    return Labelling(graph(vertices, edges)).digest


def least(vertices: int, edges: Edges) -> tuple:
    """The definition: the least edge list under all numberings."""
    return min(
        tuple(sorted((order[a], order[b]) for a, b in edges))
        for order in itertools.permutations(range(vertices))
    )


def test_digests_tell_small_directed_graphs_apart_as_all_numberings_do():
    pairs = [(a, b) for a in range(4) for b in range(4) if a != b]
    by_digest, by_definition = {}, {}
    for mask in range(2 ** len(pairs)):
        edges = frozenset(pair for at, pair in enumerate(pairs) if mask >> at & 1)
        by_digest.setdefault(digest(4, edges), set()).add(edges)
        by_definition.setdefault(least(4, edges), set()).add(edges)
    assert len(by_definition) == 218  # OEIS A000273: unlabelled digraphs of four vertices
    assert sorted(by_digest.values(), key=sorted) == sorted(by_definition.values(), key=sorted)


@pytest.mark.parametrize("seed", range(20))
def test_numbering_changes_neither_digest_nor_what_corresponds(seed: int):
    pick = random.Random(seed)
    edges = {(pick.randrange(9), pick.randrange(9)) for _ in range(14)}
    numbering = pick.sample(range(9), 9)
    one, other = Labelling(graph(9, edges)), Labelling(graph(9, edges, numbering))
    assert one.digest == other.digest
    across = dict(zip(one.order, other.order, strict=True))
    assert {(across[a], across[b]) for a, b in edges} == {(numbering[a], numbering[b]) for a, b in edges}


def test_refinement_alone_would_not_do():
    ring = [(at, (at + 1) % 6) for at in range(6)]
    triangles = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]
    assert digest(6, ring) != digest(6, triangles)


def test_labels_and_colours_count_and_details_do_not():
    def pair(label: str, colour: str, detail: int) -> Labelling:
        found = Graph()
        found.vertex("v")
        found.vertex(colour, detail=(detail,))
        found.edge(0, 1, label, detail=(detail,))
        return Labelling(found)

    assert pair("e", "v", 1).digest == pair("e", "v", 2).digest
    assert len({pair(*case, 0).digest for case in (("e", "v"), ("f", "v"), ("e", "w"))}) == 3


def test_details_choose_among_mirror_images():
    for sizes in ((3, 5), (5, 3)):
        found = Graph()
        hub = found.vertex("hub")
        for size in sizes:
            found.edge(hub, found.vertex("leaf", detail=(size,)), "e")
        leaves = [vertex for vertex in Labelling(found).order if vertex != hub]
        assert [found.details[vertex] for vertex in leaves] == [(3,), (5,)]


def test_like_branches_take_few_leaves(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_LEAVES", 200)
    star = [(0, at) for at in range(1, 9)] + [(at, at + 8) for at in range(1, 9)]
    assert digest(17, star)  # 8! = 40320 leaves without the pruning


def test_too_many_leaves_are_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_LEAVES", 3)
    with pytest.raises(EinsimError, match="too symmetric"):
        digest(6, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)])
