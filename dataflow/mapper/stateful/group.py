"""A fused group that carries state: which Einsums step, which follow, and the part each tensor plays."""

from __future__ import annotations

from functools import cached_property

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.footprint import compressed, relevant_ranks
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.passes import passes


class Group(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All Einsums of a cascade as one group around the rank `step`, which is walked point by point.

    `body` iterates the step, `tail` does not and uses what the last step left. `free` are the ranks of more
    than one point that every Einsum iterates and nobody reduces: those that shared loops may counts.
    """

    cascade: Cascade
    step: str
    body: tuple[Einsum, ...]
    tail: tuple[Einsum, ...]
    free: tuple[str, ...]

    @cached_property
    def state(self) -> tuple[str, ...]:
        """Tensors kept over the steps: they carry state, or gather a sum over the steps."""
        return tuple(e.name for e in self.body if e.iterative or self.step in e.reduced)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Results that leave the chip."""
        return tuple(tensor.name for tensor in self.cascade.outputs)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Tensors that somebody reads and nobody makes."""
        read = {access.tensor for einsum in self.cascade.einsums for access in einsum.reads}
        return tuple(tensor.name for tensor in self.cascade.inputs if tensor.name in read)

    @cached_property
    def made(self) -> tuple[str, ...]:
        """Tensors that the group makes, in order."""
        return tuple(einsum.name for einsum in (*self.body, *self.tail))

    def moved(self, tensor: str) -> frozenset[str]:
        """Ranks whose position decides which part of a tensor is used."""
        if tensor not in self._moved:
            self._moved[tensor] = self._moves(tensor)
        return self._moved[tensor]

    @cached_property
    def _moved(self) -> dict[str, frozenset[str]]:
        return {}

    def _moves(self, tensor: str) -> frozenset[str]:
        found: frozenset[str] = frozenset()
        for einsum in self.cascade.einsums:
            for access in (einsum.output, *einsum.reads):
                if access.tensor == tensor:
                    found |= relevant_ranks(self.cascade, access)
        return found

    def readers(self, tensor: str) -> tuple[Einsum, ...]:
        """Einsums that read a tensor, its own maker too."""
        return self._readers.get(tensor, ())

    @cached_property
    def _readers(self) -> dict[str, tuple[Einsum, ...]]:
        found: dict[str, tuple[Einsum, ...]] = {}
        for einsum in self.cascade.einsums:
            for tensor in dict.fromkeys(access.tensor for access in einsum.reads):
                found[tensor] = (*found.get(tensor, ()), einsum)
        return found

    @cached_property
    def chains(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Pairs of a maker and a reader that may be chained, with the Einsums that stand between them.

        Both are steps of the body or both of the tail; the reader takes the tensor once, and it is no state.
        """
        found = {}
        for part in (self.body, self.tail):
            for at, maker in enumerate(part):
                for to in range(at + 1, len(part)):
                    reads = [access.tensor for access in part[to].reads]
                    if reads.count(maker.name) == 1 and not maker.iterative:
                        found[maker.name, part[to].name] = tuple(e.name for e in part[at + 1 : to])
        return found

    @cached_property
    def stepping(self) -> frozenset[str]:
        """Names of the Einsums that iterate the step."""
        return frozenset(einsum.name for einsum in self.body)


def carries_state(cascade: Cascade) -> bool:
    """Whether some Einsum writes the state that its next step reads."""
    return any(einsum.iterative for einsum in cascade.einsums)


def group_of(cascade: Cascade) -> Group | str:
    """The cascade as one stateful group, or why it is none."""
    steps = sorted({rank for einsum in cascade.einsums for rank in einsum.iterative})
    if len(steps) != 1:
        return "carries state along no rank" if not steps else f"carries state along {', '.join(steps)}"
    step = steps[0]
    body = tuple(einsum for einsum in cascade.einsums if step in einsum.ranks)
    tail = tuple(einsum for einsum in cascade.einsums if step not in einsum.ranks)
    late = {einsum.name for einsum in tail}
    for einsum in body:
        early = next((read.tensor for read in einsum.reads if read.tensor in late), "")
        if early:
            return f"{einsum.name} reads {early}, which must be whole before the first step of {step}"
    if passes(cascade, step).passes > 1:
        return f"its Einsums are in several passes over {step}"
    reduced = {rank for einsum in cascade.einsums for rank in einsum.reduced}
    free = tuple(
        rank.name
        for rank in cascade.ranks
        if rank.size > 1 and rank.name != step and rank.name not in reduced
        and all(rank.name in einsum.ranks for einsum in cascade.einsums)
    )  # fmt: skip
    group = Group(cascade=cascade, step=step, body=body, tail=tail, free=free)
    for einsum in tail:
        passed = next((r.tensor for r in einsum.reads if r.tensor in group.stepping - set(group.state)), "")
        if passed:
            return f"{einsum.name} reads {passed} of one step after the last one"
    return _shifted(group) or group


def _shifted(group: Group) -> str:
    """Why shared loops would not cut every tensor into the same tiles, or ""."""
    for einsum in group.cascade.einsums:
        for access in (einsum.output, *einsum.reads):
            for index in access.indices:
                ranks = {term.rank for term in index.terms} & set(group.free)
                if ranks and (len(index.terms) > 1 or index.offset or index.terms[0].coefficient != 1):
                    return f"{access.tensor} is read with a shifted {', '.join(sorted(ranks))}"
    return ""


def why_not_exact(cascade: Cascade, machine: Machine) -> str:
    """Why the model is not exact for a cascade that is a group: bounds, values of no whole bytes, cores
    that share a network, or that each have a memory or reads of their own, units that take turns, or
    memories that widen values.
    """
    if cascade.bounds:
        return "iteration-space bounds"
    if machine.noc:
        return "cores that share a network"
    if any(unit.mode_of for unit in machine.units):
        return "units that are modes of one array"
    if not machine.multicast or any(memory.copies > 1 for memory in machine.memories):
        return "cores with memories or reads of their own"
    if any(memory.value_bits for memory in machine.memories):
        return "memories in which no value is narrower than their value_bits"
    for tensor in cascade.tensors:
        if tensor.bits % 8 or compressed(machine, tensor):
            return f"{tensor.name} does not take whole bytes a value"
    return ""
