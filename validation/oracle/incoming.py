"""What comes into a keep together: the transfers in which operands, states and partial sums cross."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from einsim.accel.machine import Machine
from einsim.dataflow.mapping import Compute, Keep, Loop, Node, children, walk
from einsim.validation.oracle.points import Ints, Ranges, box_points, einsum_points
from einsim.validation.oracle.store import Place
from einsim.validation.oracle.unit import core_of
from einsim.validation.oracle.values import Floats
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Access

Reading = tuple[Compute, Ranges, Access]
Step = tuple[int, ...]
Elements = Callable[..., Ints]
"""What points access, each by its place in the tensor; `clip`: of those inside the tensor."""


class Incoming:
    """Numbers the elements of a keep's tensors by the transfer in which they come into it.

    Of an operand all that an iteration wants of a tile of the first Einsum that reads it comes at once; all
    of it, where such tiles share some in any iteration or reads differ, and steps of a state apart. What is
    made below the keep, of a state the later steps, does not come but as partial sums: by the maker's tiles.
    """

    def __init__(
        self, cascade: Cascade, machine: Machine, root: tuple[Node, Ranges], given: dict[str, Floats],
        elements: Elements,
    ) -> None:  # fmt: skip
        self.cascade, self.machine, self.root = cascade, machine, root
        self.given, self.elements = given, elements
        self.together: dict[tuple[int, str, Step], bool] = {}

    def arrange(self, node: Keep, ranges: Ranges, place: Place) -> None:
        """Say of one iteration of a keep what of a tensor is wanted, and in which transfer."""
        tensor, number = place.tensor, 0
        for step, (readers, tiles) in self._reading(node, tensor, ranges).items():
            every = [np.zeros(0, dtype=np.int64)]
            for leaf, box, access in readers:
                points = einsum_points(self.cascade, self.cascade.einsum(leaf.einsum), box)
                core = core_of(self.machine.unit(leaf.unit), leaf, box, points)
                every.append(self.elements(access, points))
                place.wanted[place.row(core), every[-1]] = True
            for mine in [np.concatenate(every)] if self._at_once(node, tensor, step) else tiles:
                place.tile[mine] = number
                number += 1
        numbers: dict[tuple[int, ...], int] = {}
        for at, mine, core in self._making(node, tensor, ranges):
            place.wanted[place.row(core), mine] = True
            place.tile[mine] = numbers.setdefault(at, number + len(numbers))

    def _at_once(self, node: Keep, tensor: str, step: Step) -> bool:
        """Whether reads of a tensor, of a state at one step, differ below a keep, or tiles share elements in
        some iteration.
        """
        key = id(node), tensor, step
        if key not in self.together:
            runs = (self._reading(node, tensor, box).get(step, ([], [])) for box in self._runs(node))
            every = [(readers, tiles) for readers, tiles in runs if tiles]
            share = any(sum(map(len, tiles)) > len(np.unique(np.concatenate(tiles))) for _, tiles in every)
            self.together[key] = share or len({access for some, _ in every for *_, access in some}) > 1
        return self.together[key]

    def _runs(self, node: Keep) -> list[Ranges]:
        return [box for one, box in tiles_below(self.cascade, *self.root) if one is node]

    def _makers(self, node: Keep, tensor: str, ranges: Ranges) -> Iterator[tuple[Compute, Ranges]]:
        """The tiles of what makes a tensor below a keep."""
        if any(isinstance(leaf, Compute) and leaf.einsum == tensor for leaf, _ in walk(node)):
            for leaf, box in tiles_below(self.cascade, node.body, ranges):
                if isinstance(leaf, Compute) and leaf.einsum == tensor:
                    yield leaf, box

    def _making(
        self, node: Keep, tensor: str, ranges: Ranges
    ) -> Iterator[tuple[tuple[int, ...], Ints, Ints]]:
        """Of each tile of a result made below a keep its place, its elements and their cores."""
        for leaf, box in self._makers(node, tensor, ranges):
            einsum = self.cascade.einsum(tensor)
            points = einsum_points(self.cascade, einsum, box)
            core = core_of(self.machine.unit(leaf.unit), leaf, box, points)
            place = tuple(box[rank][0] for rank in einsum.output.ranks)
            yield place, self.elements(einsum.output, points), core

    def _reading(
        self, node: Keep, tensor: str, ranges: Ranges
    ) -> dict[Step, tuple[list[Reading], list[Ints]]]:
        """Tiles that read a tensor in one iteration of a keep, and what those of the first Einsum have that
        comes from outside: of a state by the step that they read.
        """
        producer = self.cascade.producer(tensor)
        made = [mine for _, mine, _ in self._making(node, tensor, ranges)]
        own = np.concatenate(made) if made else np.zeros(0, dtype=np.int64)
        state = producer is not None and bool(producer.iterative)
        found: dict[Step, tuple[list[Reading], dict[object, Ints]]] = {}
        for leaf, box in tiles_below(self.cascade, node.body, ranges):
            if not isinstance(leaf, Compute) or tensor in leaf.chained:
                continue
            for access in self.cascade.einsum(leaf.einsum).reads:
                if access.tensor != tensor:
                    continue
                every = np.unique(self.elements(access, box_points(access.ranks, box), clip=True))
                if made or state:
                    every = every[np.isnan(self.given[tensor][every]) & ~np.isin(every, own)]
                if len(every) or not (made or state):
                    readers, tiles = found.setdefault(self._step(access), ([], {}))
                    readers.append((leaf, box, access))
                    if leaf is readers[0][0]:
                        tiles[tuple(box[rank] for rank in access.ranks)] = every
        return {step: (readers, list(tiles.values())) for step, (readers, tiles) in found.items()}

    def _step(self, access: Access) -> Step:
        """What sets apart the steps of a state of which one takes the place of the other."""
        over = {*self.cascade.overwritten.get(access.tensor, ())}
        return tuple(index.offset for index in access.indices if over & {*index.ranks})


def steps_of(einsum: Einsum, ranges: Ranges) -> list[Ranges]:
    """A tile's box, or of an Einsum that reads its own state one box a step."""
    boxes = [dict(ranges)]
    for rank in einsum.iterative if einsum.name in {read.tensor for read in einsum.reads} else ():
        boxes = [{**box, rank: (at, at + 1)} for box in boxes for at in range(*box[rank])]
    return list(boxes)


def tiles_below(cascade: Cascade, node: Node, ranges: Ranges) -> Iterator[tuple[Node, Ranges]]:
    """The computes and keeps from a node on, each with its box, in the order in which they run."""
    if isinstance(node, Compute):
        yield from ((node, box) for box in steps_of(cascade.einsum(node.einsum), ranges))
        return
    if isinstance(node, Keep):
        yield node, ranges
    start, stop = ranges[node.rank] if isinstance(node, Loop) else (0, 1)
    for low in range(start, stop, node.tile if isinstance(node, Loop) else 1):
        here = {node.rank: (low, min(low + node.tile, stop))} if isinstance(node, Loop) else {}
        for child in children(node):
            yield from tiles_below(cascade, child, {**ranges, **here})
