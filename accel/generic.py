"""A machine written out in full: memories and units by name, nothing derived."""

from __future__ import annotations

from typing import Annotated

import msgspec

from einsim.accel.machine import Machine, Packs, Role, Unit, UnitKind
from einsim.accel.written import Count, Name, Share, WrittenLanes, WrittenMachine, WrittenPort
from einsim.specs.errors import RuleError, below
from einsim.specs.units import Bytes


class GenericMemory(WrittenPort, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One memory, or `copies` of it, one in each core; the one without a parent is DRAM."""

    parent: Name | tuple[Name, ...] | None = None
    """The next memory outward, or a list of several that it is filled from; the one without is DRAM."""
    capacity: Bytes | None = None
    """Its size; unbounded where it is left out."""
    copies: Count = 1
    """How many there are, one in each core; capacity and rates are of each."""
    efficiency: Share = 1.0
    """Share of its rates that is reached."""


class RoleMemories(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a unit finds what plays each role, and nowhere else."""

    inputs: Name
    """What streams by."""
    weights: Name | None = None
    """The other factor of a sum of products; where the inputs are, if it is left out."""
    outputs: Name
    """What the unit makes: results, and partial sums that come back."""

    def by_role(self) -> dict[Role, str]:
        """The memories by role."""
        weights: dict[Role, str] = {"weights": self.weights} if self.weights else {}
        return {"inputs": self.inputs, **weights, "outputs": self.outputs}


class GenericUnit(WrittenLanes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One unit with its shape and the memory that feeds it."""

    kind: UnitKind
    """What it is: `systolic` streams one operand through an array, `dsp-chain` cascades along the reduction.
    """
    dims: Annotated[dict[Name, Count], msgspec.Meta(min_length=1)]
    """Its shape, outermost first: `{rows: 32, cols: 32}`, `{lanes: 64}`, with several cores `cores` first."""
    reads_from: Name | RoleMemories
    """The memory that its operands and results stand in, or one for each role:
    `{inputs: spad, weights: wbuf, outputs: acc}`.
    """
    follows: Name | None = None
    """The matrix unit whose results this vector unit passes on: point by point work on them, nothing else."""
    stops: Name | None = None
    """A memory of which nothing moves while this unit computes: they take turns."""
    packs: tuple[Packs, ...] = ()
    """With `pixels`: `lines` beside each other, that is pixels of several lines of an image at once; beside
    few channels in the rows `taps` of a kernel along a line, or `groups` of a convolution as blocks of a
    diagonal.
    """


class Generic(WrittenMachine, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`machine: NAME` with memories and units by name."""

    machine: Name
    """Its name."""
    memories: Annotated[dict[Name, GenericMemory], msgspec.Meta(min_length=1)]
    """The memories by name, from DRAM inward."""
    units: Annotated[dict[Name, GenericUnit], msgspec.Meta(min_length=1)]
    """The compute units by name."""
    multicast: bool = True
    """`false`: what several cores want from a memory that they share is read by each."""


def derive(spec: Generic, name: str) -> Machine:
    """The machine as written; vector units that can, get the ops they lack as compositions.

    Units come in an order of what they are (of several that suit the first is taken), whatever they are
    called and wherever they are written.
    """
    memories = []
    for made, one in spec.memories.items():
        with below("memories", made):
            _check_copies(one, spec.memories)
            memories.append(
                one.memory(
                    made, parent=one.parent, capacity=one.capacity, copies=one.copies, share=one.efficiency
                )
            )
    units: dict[str, Unit] = {}
    for made, unit in spec.units.items():
        with below("units", made):
            given = unit.reads_from
            found = unit.unit(
                made,
                kind=unit.kind,
                dims=_shape(unit.dims),
                reads_from=given.by_role() if isinstance(given, RoleMemories) else given,
            )
            units[f"units.{made}"] = msgspec.structs.replace(
                found, follows=unit.follows or "", packs=unit.packs, stops=unit.stops or ""
            )
    machine = spec.assembled(
        spec.machine or name, "generic", tuple(memories), units, multicast=spec.multicast
    )
    return msgspec.structs.replace(machine, units=tuple(sorted(machine.units, key=_standing)))


def _check_copies(one: GenericMemory, memories: dict[str, GenericMemory]) -> None:
    """RuleError for a memory in no core that is filled from one in each: cores reach their own only."""
    for parent in [one.parent] if isinstance(one.parent, str) else one.parent or ():
        copies = memories[parent].copies if parent in memories else 1
        if copies not in (1, one.copies):
            rule = f"must be {copies}: it is filled from {parent}, of which each core has its own"
            raise RuleError(rule, got=one.copies, at=("copies",))


def _shape(dims: dict[str, int]) -> dict[str, int]:
    """Cores, pixels, rows and columns in this order, then the others as written."""
    known = [dim for dim in ("cores", "pixels", "rows", "cols") if dim in dims]
    return {dim: dims[dim] for dim in (*known, *(dim for dim in dims if dim not in known))}


def _standing(unit: Unit) -> tuple[bool, int, bytes]:
    """Matrix units before vector units, larger ones first, then by all that they are but names."""
    nameless = msgspec.structs.replace(unit, name="", reads_from="")
    return unit.kind == "vector", -unit.pes, msgspec.json.encode(nameless, order="deterministic")
