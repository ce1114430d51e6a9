"""The order in which a cascade's Einsums run, where their reads leave a choice: by structure, not as written.

Parts that share no result run one after the other. Within a part Einsums run level by level, all that became
ready together before what they make ready; only a run of Einsums that aren't contractions is followed to its
end before its neighbours begin, so that its values stay near. Neighbours are ordered by who uses them: as a
first operand before as a second, farther from the end before nearer; then contractions last and others of
fewer ranks first; then in their users' order. Parts are ordered by how their first Einsum looks.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import groupby, pairwise

from einsim.workloads.canonical.form import classes
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Apply, nodes
from einsim.workloads.ops import prune_parts
from einsim.workloads.order import trails


def in_order(cascade: Cascade) -> tuple[Einsum, ...]:
    """The Einsums, each after those that it reads from in the same step; () if there is no such order."""
    order = _Order(cascade)
    return tuple(order.found) if len(order.found) == len(cascade.einsums) else ()


class _Order:
    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        self.place = {einsum.name: at for at, einsum in enumerate(cascade.einsums)}
        self.waits = {einsum.name: self._producers(einsum) for einsum in cascade.einsums}
        self.users: dict[str, list[str]] = {name: [] for name in self.place}
        for name, producers in self.waits.items():
            for producer in producers:
                self.users[producer].append(name)
        self.keys: dict[str, tuple[object, ...]] = {}
        self.looks: dict[str, tuple[object, ...]] = {}
        self.heights: dict[str, int] = {}
        self.numbers: dict[str, int] = {}
        self.found: list[Einsum] = []
        self.left = {name: len(producers) for name, producers in self.waits.items()}
        backwards = self._from_the_end()
        if len(backwards) < len(self.place):
            return  # a cycle
        for name in backwards:
            self.heights[name] = max((self.heights[user] + 1 for user in self.users[name]), default=0)
            self.looks[name] = self._look(name)
        for _, level in groupby(sorted(backwards, key=self.heights.__getitem__), self.heights.__getitem__):
            self._number([*level])
        parts = [self._sorted(part) for part in self._parts()]
        first = {part[0]: part for part in parts}
        for one in sorted(self._sorted(first), key=self.looks.__getitem__):
            self._run([(name, "") for name in first[one]])

    def _producers(self, einsum: Einsum) -> tuple[str, ...]:
        """Einsums that must come first."""
        names = dict.fromkeys(
            read.tensor for read in einsum.reads
            if read.tensor in self.place and not trails(read, self.cascade.einsum(read.tensor))
        )  # fmt: skip
        return tuple(names)

    def _from_the_end(self) -> list[str]:
        """Users before what they use."""
        left = {name: len(users) for name, users in self.users.items()}
        order = [name for name, count in left.items() if not count]
        for name in order:
            for producer in self.waits[name]:
                left[producer] -= 1
                if not left[producer]:
                    order.append(producer)
        return order

    def _number(self, level: Sequence[str]) -> None:
        """Keys of Einsums of one height, and their order by key, by which others are compared."""
        for name in level:
            self.keys[name] = (*self._uses(name), self.looks[name])
        found = sorted({self.keys[name] for name in level})
        self.numbers |= {name: bisect_left(found, self.keys[name]) for name in level}

    def _uses(self, name: str) -> tuple[object, ...]:
        """Operand, distance from the end and number of the user that counts, the least; last for a result."""
        einsum = self.cascade.einsum(name)
        own = (True, 0) if einsum.contracts else (False, len(einsum.output.ranks))
        uses = []
        for user in self.users[name]:
            operands = [read.tensor for read in self.cascade.einsum(user).reads]
            uses.append((operands.index(name), -self.heights[user], *own, self.numbers[user]))
        return min(uses, default=(math.inf, 0, *own, 0))

    def _look(self, name: str) -> tuple[object, ...]:
        """What it computes, in letters by first appearance, and on what."""
        einsum, cascade = self.cascade.einsum(name), self.cascade
        letters: dict[str, int] = {}
        accesses = []
        for access in (*einsum.reads, einsum.output):
            indices = []
            for index in access.indices:
                terms = [
                    (term.coefficient, letters.setdefault(term.rank, len(letters))) for term in index.terms
                ]
                indices.append(repr((index.offset, terms)))
            accesses.append(tuple(indices))
        pruned = [
            (parts[0], parts[1], letters[parts[2]])
            for node in nodes(einsum.expr)
            if isinstance(node, Apply) and (parts := prune_parts(node.op))
        ]
        sizes = tuple(cascade.size(rank) for rank in letters)
        bits = tuple(cascade.tensor(read.tensor).bits for read in einsum.reads)
        ops = (-len(einsum.ops), einsum.ops, einsum.reduce or "")
        return (accesses[-1], tuple(accesses[:-1]), ops, tuple(pruned), sizes, bits)

    def _sorted(self, names: Iterable[str]) -> list[str]:
        """By key; what is equal by that, by all that the cascade says of it; mirror images as they stand."""
        order = sorted(names, key=self.keys.__getitem__)
        if any(self.keys[one] == self.keys[other] for one, other in pairwise(order)):
            order.sort(key=lambda name: (self.keys[name], self.alike[name]))
        return order

    @cached_property
    def alike(self) -> dict[str, int]:
        """Numbers that Einsums share only if nothing in the cascade tells them apart."""
        return classes(self.cascade)

    def _parts(self) -> list[list[str]]:
        """Einsums that are ready from the start, by the part of the cascade that they belong to."""
        part = {name: name for name in self.place}

        def root(name: str) -> str:
            while part[name] != name:
                part[name] = part[part[name]]
                name = part[name]
            return name

        for einsum in self.cascade.einsums:
            for read in einsum.reads:
                if read.tensor in part:
                    part[root(read.tensor)] = root(einsum.name)
        found: dict[str, list[str]] = {}
        for name, producers in self.waits.items():
            if not producers:
                found.setdefault(root(name), []).append(name)
        return list(found.values())

    def _run(self, ready: Sequence[tuple[str, str]]) -> None:
        """Run Einsums that became ready together, each with what made it ready, and all they lead to."""
        levels: list[tuple[Iterator[tuple[str, str]], list[tuple[str, str]]]] = [(iter(ready), [])]
        while levels:
            coming, after = levels[-1]
            if (step := next(coming, None)) is None:
                levels.pop()
                if after:
                    levels.append((iter(after), []))
                continue
            name, by = step
            einsum = self.cascade.einsum(name)
            self.found.append(einsum)
            led = [(other, name) for other in self._led_to(name)]
            if by and not einsum.contracts and not self.cascade.einsum(by).contracts:
                levels.append((iter(led), []))
            else:
                after += led

    def _led_to(self, name: str) -> list[str]:
        led = []
        for user in self.users[name]:
            self.left[user] -= 1
            if not self.left[user]:
                led.append(user)
        return self._sorted(led)
