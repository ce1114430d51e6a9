"""The best point of the fixed list of a block: by the bound with heads and tails, among those that fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.clock import Clock
from einsim.dataflow.ends import Ends
from einsim.dataflow.holds import levels
from einsim.dataflow.legality import check
from einsim.dataflow.lower import unpriced
from einsim.dataflow.mapping import Compute, Keep, Loop, Node
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.remembered import Remembered
from einsim.dataflow.structure import structure_of
from einsim.dataflow.templates.blocks import Block, part_of, touched
from einsim.dataflow.templates.listed import Nest, cost_of, listed
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade
from einsim.workloads.text import bound_text, einsum_text, tensor_text


class BlockTree(msgspec.Struct, frozen=True, kw_only=True):
    """A tree of some Einsums, what it costs in ticks, and the bytes that it holds in each memory."""

    tree: Node
    cost: float
    held: dict[str, int]


class Known(msgspec.Struct, frozen=True):
    """The list of blocks that are alike, and the names of the one that it was made for."""

    nests: list[Nest]
    names: tuple[str, ...]


_LISTS: Final = Remembered[Known](20_000, lambda one: len(one.nests))


class Chooser:
    """Choices for the blocks of a cascade on a machine."""

    def __init__(self, cascade: Cascade, machine: Machine) -> None:
        self.cascade, self.machine = cascade, machine
        self.rates = Clock(machine).rates
        self.capacity = {memory.name: memory.capacity_bytes for memory in machine.memories}
        self.capacity |= {
            unit.name: unit.registers.bytes_per_pe * unit.pes if unit.registers is not None else 0
            for unit in machine.units
        }
        clocks = tuple((unit.clock_hz or machine.clock_hz) / machine.clock_hz for unit in machine.units)
        plain = structure_of(machine)
        self._alike = msgspec.structs.replace(
            plain,
            units=tuple(
                msgspec.structs.replace(unit, clock_hz=clock)
                for unit, clock in zip(plain.units, clocks, strict=True)
            ),
        )
        self._structure = msgspec.msgpack.encode(self._alike)
        self._lists: dict[tuple[str, ...], tuple[Known, tuple[str, ...]]] = {}
        self._orders: dict[tuple[object, ...], list[tuple[bool, float, int]]] = {}
        self._costs: dict[tuple[object, ...], float] = {}

    def best(
        self, block: Block, resident: Mapping[str, str] = {}, reserved: Mapping[str, int] = {}
    ) -> BlockTree | None:
        """The best point that fits beside the bytes `reserved`, `resident` tensors being there already; None
        where none fits.
        """
        known, names = self._known(block)
        theirs = dict(zip(names, known.names, strict=True))
        kept = {theirs[name]: memory for name, memory in resident.items() if name in theirs}
        stays = {name: levels(self.machine, memory) for name, memory in kept.items()}
        case = (id(known), *kept.items())
        if case not in self._orders:
            least = [
                (one.nest.streamed, one.least(self.rates, stays), at) for at, one in enumerate(known.nests)
            ]
            self._orders[case] = sorted(least)
        found: tuple[float, int, int] | None = None
        for streamed, floor, at in self._orders[case]:
            if found is not None and (floor >= found[0] or streamed):
                break
            nest = known.nests[at]
            for buffers in (2, 1):
                if not self.fits(nest.held(buffers, stays), reserved) or (ends := nest.ends) is None:
                    continue
                if (*case, at, buffers) not in self._costs:
                    made = cost_of(ends, self.rates, stays, single=buffers == 1)
                    self._costs[*case, at, buffers] = made
                cost = self._costs[*case, at, buffers]
                if found is None or cost < found[0]:
                    found = cost, at, buffers
                break
        if found is None:
            return None
        cost, at, buffers = found
        nest = known.nests[at]
        ours = dict(zip(known.names, names, strict=True))
        tree = renamed(nest.tree(buffers, kept), ours)
        return BlockTree(tree=tree, cost=cost, held=nest.held(buffers, stays))

    def _known(self, block: Block) -> tuple[Known, tuple[str, ...]]:
        mine = tuple(einsum.name for einsum in block)
        if mine not in self._lists:
            part = part_of(self.cascade, mine)
            text, names = _structure(part)
            known = _LISTS.get((text, self._structure), lambda: Known(listed(part, self._alike), names))
            self._lists[mine] = known, names
        return self._lists[mine]

    def of(self, block: Block, trees: Iterable[Node], reserved: Mapping[str, int]) -> BlockTree | None:
        """The best of some trees that fits."""
        part, found = part_of(self.cascade, tuple(e.name for e in block)), []
        for tree in trees:
            mapping = LoopTree(cascade=part.name, machine="", template="", tree=tree)
            program = unpriced(mapping, part, self.machine)
            if not self.fits(program.buffers, reserved):
                continue
            try:
                check(mapping, part, self._alike)
            except EinsimError:
                continue
            cost = cost_of(Ends(program), self.rates, {}, single=False)
            found.append(BlockTree(tree=tree, cost=cost, held=program.buffers))
        return min(found, key=lambda one: one.cost, default=None)

    def error(self, block: Block) -> EinsimError:
        """Why no nest of a block fits: the one that needs least, and what it lacks."""
        least: tuple[int, str] | None = None
        names = ", ".join(einsum.name for einsum in block)
        for nest in self._known(block)[0].nests:
            if nest.ends is None:
                continue
            for name, size in nest.held(1, {}).items():
                most = self.capacity[name]
                if most is not None and size > most and (least is None or size - most < least[0]):
                    least = size - most, f"{size} bytes in {name}, which has {most}"
        what = "Einsum" if len(block) == 1 else "Einsums"
        if least is None:
            return EinsimError(f"{self.machine.name}: no nest of {what} {names} is a legal mapping")
        return EinsimError(f"{self.machine.name}: the smallest tile of {what} {names} needs {least[1]}")

    def fits(self, held: Mapping[str, int], reserved: Mapping[str, int]) -> bool:
        """Whether bytes fit beside others in all memories."""
        return all(
            (most := self.capacity[name]) is None or size + reserved.get(name, 0) <= most
            for name, size in held.items()
        )


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """A tree of Einsums, tensors and ranks that have other names."""
    if all(name == other for name, other in names.items()):
        return node
    if isinstance(node, Compute):
        spatial = {dim: tuple(names[rank] for rank in ranks) for dim, ranks in node.spatial.items()}
        chained = tuple(names[name] for name in node.chained)
        return msgspec.structs.replace(node, einsum=names[node.einsum], spatial=spatial, chained=chained)
    if isinstance(node, Loop):
        return msgspec.structs.replace(node, rank=names[node.rank], body=renamed(node.body, names))
    if isinstance(node, Keep):
        tensors = tuple(names[name] for name in node.tensors)
        return msgspec.structs.replace(node, tensors=tensors, body=renamed(node.body, names))
    return type(node)(children=tuple(renamed(child, names) for child in node.children))


def _structure(part: Cascade) -> tuple[str, tuple[str, ...]]:
    """A cascade's text with its names by their order in it, the same for cascades that are alike, and those
    names.
    """
    lines = [einsum_text(einsum, part.sizes, 0) for einsum in part.einsums]
    lines += [bound_text(bound, part.sizes) for bound in part.bounds]
    tensors = touched(part.einsums)
    lines += [tensor_text(part.tensor(name)) for name in tensors]
    names: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        name = match[0]
        if name in part.sizes:
            return names.setdefault(name, f"r{len(names)}_{part.size(name)}")
        return names.setdefault(name, f"t{len(names)}") if name in tensors else name

    text = re.sub(r"[^\W\d]\w*", number, "\n".join(lines))
    read_on = ",".join(str(part.is_output(einsum.name)) for einsum in part.einsums)
    states = sorted(
        (names[name], *(names[r] for r in ranks)) for name, ranks in part.overwritten.items() if name in names
    )
    return f"{text}\n{read_on}\n{states}", tuple(names)
