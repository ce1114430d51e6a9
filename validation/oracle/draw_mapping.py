"""Random mappings: grown node by node, from the templates and the map space, and changed in one place."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.holds import outside, roles_of
from einsim.dataflow.mapper.point import mapping
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapping import (
    HOLE,
    Compute,
    Keep,
    Loop,
    Mapping,
    Node,
    Pipeline,
    Sequence,
    children,
    walk,
)
from einsim.dataflow.templates.registry import build_mapping, template_names
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade, Einsum

SOURCES = ("grown", "grown", "template", "space", "mutated", "mutated")


def draw_mapping(work: Cascade, chip: Machine, rng: random.Random) -> Mapping | None:
    """A mapping that may be legal or not; None where a template doesn't apply."""
    source = rng.choice(SOURCES)
    if source == "grown" or (source == "mutated" and rng.random() < 0.7):
        tree = Grower(rng, work, chip).grow(list(work.einsums), {}, {})
        made: Mapping | None = Mapping(cascade=work.name, machine=chip.name, template=source, tree=tree)
    else:
        made = _from_space(work, chip, rng) if source == "space" else _template(work, chip, rng)
    if made is None or source != "mutated":
        return made
    return msgspec.structs.replace(made, template="mutated", tree=mutate(made.tree, work, chip, rng))


def _template(work: Cascade, chip: Machine, rng: random.Random) -> Mapping | None:
    try:
        return build_mapping(work, chip, rng.choice(("template", *template_names())))
    except EinsimError:
        return None


def _from_space(work: Cascade, chip: Machine, rng: random.Random) -> Mapping | None:
    try:
        buffers = rng.choice((1, 2))
        space = MapSpace(cascade=work, machine=chip, menu="all", buffers=buffers, most_fused=2, longest=2)
        point = space.sample(rng, tries=5)
    except EinsimError:
        return None
    return None if point is None else mapping(work, chip, point)


class Grower:
    """Grows a tree over neighbouring Einsums: loops that they share, keeps between them, then children."""

    def __init__(self, rng: random.Random, work: Cascade, chip: Machine) -> None:
        self.rng, self.work, self.chip = rng, work, chip
        self.fusing = rng.random()
        self.stack = [memory.name for memory in chip.memories if memory.parent]
        self.must = chip.units[0].memories["inputs"]
        self.state = {rank for einsum in work.einsums for rank in einsum.iterative}
        apart = random.Random(repr((work.name, work.sizes, chip)))  # noqa: S311 - cases, not secrets
        self.handing_on = apart.random() < 0.3  # states leave their keeps in each step, and come back
        self.leaves: dict[str, Compute] = {}  # where units name a memory for each role: drawn beforehand
        if any(unit.by_role for unit in chip.units):
            self.leaves = {einsum.name: self._compute(einsum) for einsum in work.einsums}

    def grow(self, einsums: list[Einsum], tiles: dict[str, int], kept: dict[str, str]) -> Node:
        """A tree over neighbouring Einsums, given what the nodes above have; `kept` says where."""
        rng, alone = self.rng, len(einsums) == 1
        shared = [rank for rank in einsums[0].ranks if all(rank in einsum.ranks for einsum in einsums)]
        chosen = [rank for rank in shared if rng.random() < (0.6 if alone else self.fusing)]
        chosen += [rank for rank in chosen if rng.random() < 0.15]
        rng.shuffle(chosen)
        if not alone:  # what carries state from one Einsum to the other goes step by step
            steps = [rank for rank in shared if rank in self.state and tiles.get(rank) != 1]
            chosen = steps + [rank for rank in chosen if rank not in self.state]
        names = list(dict.fromkeys(n for e in einsums for n in (*(a.tensor for a in e.reads), e.name)))
        wraps: list[Loop | Keep] = []
        tiles, kept = dict(tiles), dict(kept)
        for rank in [*chosen, None]:
            here = []
            for name in names:
                last = rank is None and alone
                reduced = rank is not None and any(e.name == name and rank in e.reduced for e in einsums)
                states = (e for e in einsums if e.name == name and not self.handing_on)
                carried = rank is not None and any(rank in e.iterative for e in states)
                if name not in kept and (last or reduced or carried or rng.random() < 0.2):
                    kept[name] = ""
                    here.append(name)
            wraps += self._by_role(here, einsums, kept) if self.leaves else self._keeps(here)
            if rank is not None:
                extent = tiles.get(rank, self.work.size(rank))
                tiles[rank] = 1 if rank in self.state else rng.randint(1, extent)
                wraps.append(Loop(rank=rank, tile=tiles[rank], body=HOLE))
        if self.leaves and alone:
            wraps += self._at_hand(einsums[0], kept)
        body = self._body(einsums, tiles, kept)
        for node in reversed(wraps):
            body = msgspec.structs.replace(node, body=body)
        return body

    def _keeps(self, names: list[str]) -> list[Keep]:
        """Keeps of some tensors: all of them in one node, or each in its own."""
        rng = self.rng
        parts = [names] if rng.random() < 0.5 else [[name] for name in names]
        return [
            Keep(
                tensors=tuple(part), memory=memory, body=HOLE, buffers=rng.randint(1, 3),
                spill=rng.choice((0.0, 0.0, 0.0, 0.0, 0.25)),
            )
            for part in parts if part
            for memory in (self.stack if rng.random() < 0.5 else [self.must])
        ]  # fmt: skip

    def _near(self, einsum: Einsum, tensor: str) -> str:
        """Where the unit of an Einsum looks for a tensor."""
        unit = self.chip.unit(self.leaves[einsum.name].unit)
        return unit.memories[roles_of(unit, self.leaves[einsum.name], einsum)[tensor]]

    def _by_role(self, names: list[str], einsums: list[Einsum], kept: dict[str, str]) -> list[Keep]:
        """Keeps of some tensors, each on the way to all that use it, where there is such a memory."""
        found = []
        for name in names:
            users = [e for e in einsums if name in (e.name, *(read.tensor for read in e.reads))]
            ways = [(near, *outside(self.chip, near)) for near in (self._near(e, name) for e in users)]
            common = [
                one for one in ways[0] if all(one in way for way in ways) and one != self.chip.dram.name
            ]
            if not common:
                del kept[name]
                continue
            state = any(e.name == name and e.iterative for e in einsums)  # is read where it is written
            kept[name] = common[0] if state else self.rng.choice((common[0], self.rng.choice(common)))
            found.append(Keep(tensors=(name,), memory=kept[name], body=HOLE, buffers=self.rng.randint(1, 2)))
        return found

    def _at_hand(self, einsum: Einsum, kept: dict[str, str]) -> list[Keep]:
        """Keeps of an Einsum's operands where its unit looks for them, as far as they aren't there."""
        names = dict.fromkeys((*(read.tensor for read in einsum.reads), einsum.name))
        wanting = [(name, self._near(einsum, name)) for name in names]
        return [
            Keep(tensors=(name,), memory=near, body=HOLE, buffers=self.rng.randint(1, 2))
            for name, near in wanting
            if near not in (kept.get(name), self.chip.dram.name)
        ]

    def _body(self, einsums: list[Einsum], tiles: dict[str, int], kept: dict[str, str]) -> Node:
        rng = self.rng
        if len(einsums) == 1:
            return self._leaf(einsums[0])
        steps = [self.state & set(einsum.ranks) for einsum in einsums]
        cuts = [at for at in range(1, len(einsums)) if steps[at] != steps[at - 1]]
        if not cuts or rng.random() < 0.2:  # mostly, what goes step by step stays together
            cuts = sorted(rng.sample(range(1, len(einsums)), rng.randint(1, len(einsums) - 1)))
        parts = [einsums[a:b] for a, b in zip([0, *cuts], [*cuts, len(einsums)], strict=True)]
        group = rng.choice((Pipeline, Pipeline, Sequence))
        return group(children=tuple(self.grow(part, tiles, kept) for part in parts))

    def _leaf(self, einsum: Einsum) -> Node:
        leaf: Compute = self.leaves.get(einsum.name) or self._compute(einsum)
        if (
            leaf.stationarity == "output-stationary" and self.rng.random() < 0.1
        ):  # the result stays in registers
            return Keep(tensors=(einsum.name,), memory=leaf.unit, body=leaf)
        return leaf

    def _compute(self, einsum: Einsum) -> Compute:
        """One of the units, some ranks along its dimensions, and a dataflow."""
        rng = self.rng
        unit = rng.choice(self.chip.units)
        ranks = [rank for rank in einsum.ranks if rank not in einsum.iterative]
        rng.shuffle(ranks)
        spatial: dict[str, tuple[str, ...]] = {}
        free = list(ranks)
        for dim in unit.dims:
            if dim == "cores":
                mine = [rank for rank in ranks if rank not in einsum.reduced][: rng.randint(0, 2)]
                if rng.random() < 0.5:
                    free = [rank for rank in free if rank not in mine]
            else:
                mine = [free.pop() for _ in range(rng.choice((0, 1, 1, 1, 2))) if free]
            if mine:
                spatial[dim] = tuple(mine)
        spatial = self._reducing(einsum, unit, spatial)
        flow = rng.choice((*(unit.dataflows or ("output-stationary",)), "output-stationary"))
        return Compute(einsum=einsum.name, unit=unit.name, spatial=spatial, stationarity=flow)

    def _reducing(
        self, einsum: Einsum, unit: Unit, spatial: dict[str, tuple[str, ...]]
    ) -> dict[str, tuple[str, ...]]:
        """One in four times that there are cores, a reduced rank lies along them, too or alone."""
        apart = random.Random(repr((einsum.name, spatial, self.chip)))  # noqa: S311 - cases, not secrets
        ranks = [rank for rank in einsum.reduced if rank not in einsum.iterative]
        if "cores" not in unit.dims or not ranks or apart.random() < 0.75:
            return spatial
        chosen = apart.choice(ranks)
        others = {dim: along for dim, along in spatial.items() if dim != "cores"}
        if apart.random() < 0.7:  # mostly it lies nowhere else
            others = {dim: tuple(rank for rank in along if rank != chosen) for dim, along in others.items()}
        mine = [*spatial.get("cores", ())[: apart.randint(0, 1)], chosen]
        apart.shuffle(mine)
        return {"cores": tuple(mine), **{dim: along for dim, along in others.items() if along}}


def mutate(tree: Node, work: Cascade, chip: Machine, rng: random.Random) -> Node:
    """The tree with one of its nodes changed: a tile, a loop's place, a keep, a layout."""
    nodes = [node for node, _ in walk(tree)]
    chosen = rng.choice(nodes)
    return _replaced(tree, chosen, lambda node: _changed(node, work, chip, rng))


def rework(tree: Node, work: Cascade, chip: Machine, rng: random.Random) -> Node:
    """The tree after one to five changes, of which few leave it as good as it was."""
    for _ in range(rng.choice((1, 1, 2, 2, 3, 5))):
        change = rng.choice((mutate, _wrapped, _wrapped, _without, _elsewhere, _laid_anew))
        tree = change(tree, work, chip, rng)
    return tree


def _wrapped(tree: Node, work: Cascade, chip: Machine, rng: random.Random) -> Node:
    """One more loop, or one more keep, around some node."""
    node = rng.choice([node for node, _ in walk(tree)])
    einsums = [work.einsum(leaf.einsum) for leaf, _ in walk(node) if isinstance(leaf, Compute)]
    ranks = sorted({rank for einsum in einsums for rank in einsum.ranks})
    if ranks and rng.random() < 0.5:
        rank = rng.choice(ranks)
        tile = rng.randint(1, work.size(rank))
        return _replaced(tree, node, lambda node: Loop(rank=rank, tile=tile, body=node))
    names = sorted({name for e in einsums for name in (e.name, *(read.tensor for read in e.reads))})
    memory = rng.choice([*(memory.name for memory in chip.memories if memory.parent), chip.units[0].name])
    some = tuple(rng.sample(names, rng.randint(1, min(2, len(names)))))
    return _replaced(tree, node, lambda node: Keep(tensors=some, memory=memory, body=node))


def _without(tree: Node, work: Cascade, chip: Machine, rng: random.Random) -> Node:
    """A loop or a keep less, or one tensor of it."""
    inner = [node for node, _ in walk(tree) if isinstance(node, (Loop, Keep))]
    return _replaced(tree, rng.choice(inner), lambda node: _thinned(node, rng)) if inner else tree


def _thinned(node: Node, rng: random.Random) -> Node:
    assert isinstance(node, (Loop, Keep))
    if isinstance(node, Keep) and len(node.tensors) > 1 and rng.random() < 0.7:
        left = tuple(rng.sample(node.tensors, len(node.tensors) - 1))
        return msgspec.structs.replace(node, tensors=left)
    return node.body


def _elsewhere(tree: Node, work: Cascade, chip: Machine, rng: random.Random) -> Node:
    """One tensor is kept around another node."""
    keeps = [node for node, _ in walk(tree) if isinstance(node, Keep)]
    if not keeps:
        return tree
    keep = rng.choice(keeps)
    tensor = rng.choice(keep.tensors)
    left = tuple(name for name in keep.tensors if name != tensor)
    tree = _replaced(tree, keep, lambda _: msgspec.structs.replace(keep, tensors=left) if left else keep.body)
    node = rng.choice([node for node, _ in walk(tree)])
    return _replaced(tree, node, lambda node: msgspec.structs.replace(keep, tensors=(tensor,), body=node))


def _laid_anew(tree: Node, work: Cascade, chip: Machine, rng: random.Random) -> Node:
    """Other ranks along a dimension of a leaf, or an operand that it takes chained."""
    leaf = rng.choice([node for node, _ in walk(tree) if isinstance(node, Compute)])
    einsum = work.einsum(leaf.einsum)
    reads = sorted({read.tensor for read in einsum.reads} - {einsum.name})
    if reads and rng.random() < 0.3:
        return _replaced(tree, leaf, lambda _: msgspec.structs.replace(leaf, chained=(rng.choice(reads),)))
    ranks = tuple(rng.sample(einsum.ranks, min(len(einsum.ranks), rng.randint(1, 2))))
    spatial = {**leaf.spatial, rng.choice(sorted(chip.unit(leaf.unit).dims)): ranks}
    return _replaced(tree, leaf, lambda _: msgspec.structs.replace(leaf, spatial=spatial))


def _replaced(node: Node, chosen: Node, change: Callable[[Node], Node]) -> Node:
    if node is chosen:
        return change(node)
    if isinstance(node, (Loop, Keep)):
        return msgspec.structs.replace(node, body=_replaced(node.body, chosen, change))
    if isinstance(node, Compute):
        return node
    return type(node)(children=tuple(_replaced(child, chosen, change) for child in children(node)))


def _changed(node: Node, work: Cascade, chip: Machine, rng: random.Random) -> Node:
    if isinstance(node, Loop):
        inner = node.body
        if isinstance(inner, (Loop, Keep)) and rng.random() < 0.6:  # swapped with the node below
            return msgspec.structs.replace(inner, body=msgspec.structs.replace(node, body=inner.body))
        return msgspec.structs.replace(node, tile=rng.randint(1, work.size(node.rank)))
    if isinstance(node, Keep):
        inner = node.body
        if isinstance(inner, (Loop, Keep)) and rng.random() < 0.5:
            return msgspec.structs.replace(inner, body=msgspec.structs.replace(node, body=inner.body))
        if len(node.tensors) > 1:
            left = tuple(rng.sample(node.tensors, len(node.tensors) - 1))
            return rng.choice(
                (msgspec.structs.replace(node, tensors=left), msgspec.structs.replace(node, overlay=True))
            )
        return inner
    if isinstance(node, Compute):
        spatial = dict(node.spatial)
        if spatial and rng.random() < 0.5:
            spatial.pop(rng.choice(sorted(spatial)))
            return msgspec.structs.replace(node, spatial=spatial)
        reads = sorted({access.tensor for access in work.einsum(node.einsum).reads} - {node.einsum})
        if reads and rng.random() < 0.4:
            return msgspec.structs.replace(node, chained=(rng.choice(reads),))
        return msgspec.structs.replace(node, unit=rng.choice(chip.units).name, spatial={})
    order = list(children(node))
    rng.shuffle(order)
    return rng.choice((Sequence, Pipeline))(children=tuple(order))
