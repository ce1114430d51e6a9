"""What stays on chip from part to part: chosen by what it gains, where there is room beside all that runs.

A result that later parts read, and with it whatever shares an input with it, stays in one memory from the
part that makes it to the last that reads it, or passes through DRAM. One after the other, those first that
save most bytes for the room that they take, each stays if all parts that it touches take no longer together
and no more energy or DRAM traffic, and less of one of the first. So a model gets neither slower nor hungrier.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.legality import legal
from einsim.dataflow.mapping import Mapping as LoopTree
from einsim.dataflow.result import Result
from einsim.dataflow.staying import may_stay, places_to_stay, staying
from einsim.dataflow.templates import build_mapping
from einsim.evaluation import Mapped
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade
from einsim.workloads.models.flow import OUTSIDE, Piece
from einsim.workloads.sparsity import stored_bytes

Stays = frozenset[tuple[str, str]]
"""Tensors of a part that stay, each with its memory."""
NOTHING: Stays = frozenset()


class MappedPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part as its mapping has it when all passes through DRAM."""

    cascade: Cascade
    mapping: LoopTree
    result: Result


class Passing(msgspec.Struct, frozen=True, kw_only=True):
    """Values that stay together or not at all: the results and inputs that they are, by piece, from the first
    to the last, and their bytes.
    """

    made: tuple[tuple[int, str], ...]
    taken: tuple[tuple[int, str], ...]
    bytes_of: Mapping[int, int]
    """By value."""
    lives: Mapping[int, tuple[int, int]]
    """By value, the pieces that make it and that read it last."""

    @property
    def ends(self) -> dict[int, list[str]]:
        """Tensors by the pieces that they are of."""
        found: dict[int, list[str]] = {}
        for piece, tensor in (*self.made, *self.taken):
            found.setdefault(piece, []).append(tensor)
        return found

    @property
    def room(self) -> float:
        """Bytes times pieces that they are held for."""
        return sum(
            self.bytes_of[value] * (last - first + 1) for value, (first, last) in self.lives.items()
        )  # fmt: skip


def choose(
    pieces: Sequence[Piece],
    parts: Mapping[int, MappedPart],
    machine: Machine,
    judge: Callable[[int, Stays], Result | None],
) -> tuple[Stays, ...]:
    """What stays of each piece. `judge` says what a part costs so, None where that is not legal."""
    found = [NOTHING] * len(pieces)
    beside: dict[str, list[int]] = {name: [0] * len(pieces) for name in places_to_stay(machine)}
    dram = machine.dram.name

    def saved(one: Passing) -> float:
        return sum(
            parts[pieces[piece].part].result.traffic[dram].get(tensor, 0)
            for piece, tensors in one.ends.items() for tensor in tensors
        )  # fmt: skip

    def stay(some: Sequence[Passing]) -> bool:
        """Whether these stay from now on."""
        for memory, now in beside.items():
            more: dict[int, Stays] = {}
            left = list(now)
            for one in some:
                for piece, tensors in one.ends.items():
                    stays = more.get(piece, found[piece])
                    more[piece] = stays | {(tensor, memory) for tensor in tensors}
                left = [old + new for old, new in zip(left, _beside(one, pieces, parts), strict=True)]
            wanted = [more.get(at, stays) for at, stays in enumerate(found)]
            span = range(min(more), max(more) + 1)
            if _gains(pieces, found, more, judge) and _fits(
                machine, memory, pieces, wanted, left, judge, span
            ):
                found[:], beside[memory] = wanted, left
                return True
        return False

    for alike in _in_order(passing(pieces, parts), pieces, saved):
        if not stay(alike) and len(alike) > 1:
            for one in alike:
                stay((one,))
    return tuple(found)


def _in_order(
    every: Iterable[Passing], pieces: Sequence[Piece], saved: Callable[[Passing], float]
) -> list[list[Passing]]:
    """Those that pass between the same parts together, first what saves most for its room."""
    kinds: dict[object, list[Passing]] = {}
    for one in every:
        if saved(one):
            ends = [tuple((pieces[at].part, name) for at, name in side) for side in (one.made, one.taken)]
            kinds.setdefault((saved(one) / one.room, *ends), []).append(one)
    return sorted(
        kinds.values(), key=lambda some: (-saved(some[0]) / some[0].room, -len(some), min(some[0].ends))
    )  # fmt: skip


def mapping_beside(cascade: Cascade, mapped: Mapped, stays: Stays) -> LoopTree | None:
    """The part's mapping with what stays, or, where only room is missing, the default for the room that is
    left; None where neither is legal.
    """
    machine = mapped.machine
    sizes = {name: sum(tensor_bytes(cascade, one) for one, at in stays if at == name) for _, name in stays}
    mapping = _with(mapped.mapping, stays, machine)
    if legal(mapping, cascade, machine):
        return mapping
    endless = with_room(machine, dict.fromkeys(sizes))
    room = {name: (machine.memory(name).capacity_bytes or 0) - size for name, size in sizes.items()}
    if min(room.values()) <= 0 or not legal(mapping, cascade, endless):
        return None
    try:
        lean = build_mapping(cascade, with_room(machine, room))
    except EinsimError:
        return None
    mapping = _with(lean, stays, machine)
    return mapping if legal(mapping, cascade, machine) else None


def _with(mapping: LoopTree, stays: Stays, machine: Machine) -> LoopTree:
    for memory in sorted({memory for _, memory in stays}):
        mapping = staying(mapping, [name for name, at in stays if at == memory], memory, machine)
    return mapping


def with_room(machine: Machine, room: Mapping[str, int | None]) -> Machine:
    """The machine with other capacities of some memories."""
    memories = tuple(
        msgspec.structs.replace(one, capacity_bytes=room.get(one.name, one.capacity_bytes))
        for one in machine.memories
    )
    return msgspec.structs.replace(machine, memories=memories)


def passing(pieces: Sequence[Piece], parts: Mapping[int, MappedPart]) -> list[Passing]:
    """All that may stay: what some piece makes and others read."""
    groups: dict[int, int] = {}

    def first(value: int) -> int:
        while groups.setdefault(value, value) != value:
            value = groups[value]
        return value

    for piece in pieces:
        for values in piece.takes.values():
            for value in values:
                groups[first(value)] = first(values[0])
    made: dict[int, list[tuple[int, str]]] = {}
    taken: dict[int, list[tuple[int, str]]] = {}
    size: dict[int, int] = {}
    lives: dict[int, tuple[int, int]] = {}
    for at, piece in enumerate(pieces):
        cascade = parts[piece.part].cascade
        for tensor, values in piece.takes.items():
            taken.setdefault(first(values[0]), []).append((at, tensor))
            lives.update((value, (lives[value][0], at)) for value in values if value in lives)
        for tensor, value in piece.makes.items():
            made.setdefault(first(value), []).append((at, tensor))
            size[value] = tensor_bytes(cascade, tensor)
            lives[value] = (at, at)
    outside = first(OUTSIDE)
    found = []
    for group, inputs in taken.items():
        results = made.get(group, [])
        own = {value for value in size if first(value) == group}
        ends = (*results, *inputs)
        if (
            group != outside
            and own
            and all(may_stay(parts[pieces[piece].part].cascade, tensor) for piece, tensor in ends)
        ):
            found.append(Passing(
                made=tuple(results), taken=tuple(inputs), bytes_of={value: size[value] for value in own},
                lives={value: lives[value] for value in own},
            ))  # fmt: skip
    return found


def tensor_bytes(cascade: Cascade, tensor: str) -> int:
    """Bytes of all of a tensor."""
    return stored_bytes(cascade.tensor(tensor), cascade.elements(tensor))


def _beside(one: Passing, pieces: Sequence[Piece], parts: Mapping[int, MappedPart]) -> list[int]:
    """Bytes that lie there while each piece runs, beside what it has of them itself."""
    found = [0] * len(pieces)
    for value, (first, last) in one.lives.items():
        for at in range(first, last + 1):
            found[at] += one.bytes_of[value]
    for at, tensors in one.ends.items():
        cascade, piece = parts[pieces[at].part].cascade, pieces[at]
        for tensor in tensors:
            values = piece.takes.get(tensor) or (piece.makes[tensor],)
            whole = sum(one.bytes_of[value] for value in values)
            found[at] -= min(whole, tensor_bytes(cascade, tensor))
    return [max(0, bytes_) for bytes_ in found]


def _gains(
    pieces: Sequence[Piece], found: Sequence[Stays], more: Mapping[int, Stays],
    judge: Callable[[int, Stays], Result | None],
) -> bool:  # fmt: skip
    """Whether the pieces take less time or energy together, and no more of the other, nor of DRAM."""
    seconds, joules, moved = [], [], 0
    for piece, stays in more.items():
        before, after = judge(pieces[piece].part, found[piece]), judge(pieces[piece].part, stays)
        if before is None or after is None:
            return False
        seconds += [after.latency_s, -before.latency_s]
        joules += [after.energy_stated_j or 0.0, -(before.energy_stated_j or 0.0)]
        moved += after.dram_bytes - before.dram_bytes
    time, energy = math.fsum(seconds), math.fsum(joules)
    slack = 1e-12  # of rounding
    worse = time > slack * sum(map(abs, seconds)) or energy > slack * sum(map(abs, joules))
    return not worse and moved <= 0 and (time < 0 or energy < 0)


def _fits(
    machine: Machine, memory: str, pieces: Sequence[Piece], stays: Sequence[Stays], beside: Sequence[int],
    judge: Callable[[int, Stays], Result | None], span: Iterable[int],
) -> bool:  # fmt: skip
    """Whether a memory has room in each piece for what its mapping holds and what lies beside."""
    capacity = machine.memory(memory).capacity_bytes
    for at in span if capacity is not None else ():
        judged = judge(pieces[at].part, stays[at])
        if judged is None or judged.buffers.get(memory, 0) + beside[at] > (capacity or 0):
            return False
    return True
