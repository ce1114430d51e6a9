"""Rules on data between the leaves of a mapping: made before it is read, still there, and complete."""

from __future__ import annotations

from collections.abc import Set

from einsim.accel.machine import Machine
from einsim.dataflow.carried import stepping
from einsim.dataflow.cores import Turn, cores_of, cores_ranks, dealt, parted
from einsim.dataflow.cut import Cut
from einsim.dataflow.footprint import relevant_ranks, uses
from einsim.dataflow.forms import compressed
from einsim.dataflow.holds import may_hold, outside, passes_by, reads, role_of, roles_of, straight
from einsim.dataflow.iteration import Path
from einsim.dataflow.layout import Home, Layout, Leaf, common_loops, points_below, summed, users
from einsim.dataflow.leaf import skips
from einsim.dataflow.mapping import Mapping, node_at
from einsim.dataflow.mask import mask_of
from einsim.dataflow.overlay import overlay_fault
from einsim.dataflow.sites import Place, Sites
from einsim.specs.errors import SpecError
from einsim.workloads.ahead import Dependence, ahead, in_place, initial_only
from einsim.workloads.cascade import Access, Cascade, Einsum, Index
from einsim.workloads.order import lags


def check_flow(mapping: Mapping, layout: Layout, cascade: Cascade, machine: Machine, sites: Sites) -> None:
    """Raise SpecError for the first rule that is broken. The tree's own rules must hold already."""
    flow = _Flow(mapping, layout, cascade, machine, sites)
    for leaf in layout.leaves:
        flow.operands(leaf)
        flow.chained(leaf)
        flow.parts(leaf)
    for leaf in layout.leaves:
        flow.order(leaf)
    for home, _ in layout.homes:
        fault = overlay_fault(home, layout, cascade) if home.tensor == next(iter(home.overlay), "") else None
        if fault is not None:
            raise flow.fault(home.place, fault, "overlay")
        flow.cores(home)


class _Flow:
    def __init__(
        self, mapping: Mapping, layout: Layout, cascade: Cascade, machine: Machine, sites: Sites
    ) -> None:
        self.tree = mapping.tree
        self.layout = layout
        self.cascade = cascade
        self.machine = machine
        self.sites = sites
        self.leaf_of = {leaf.node.einsum: leaf for leaf in layout.leaves}
        self.order_of = {leaf.place: at for at, leaf in enumerate(layout.leaves)}

    def einsum(self, leaf: Leaf) -> Einsum:
        """The Einsum that a leaf computes."""
        return self.cascade.einsum(leaf.node.einsum)

    def fault(self, place: Place, rule: str, key: str = "", hint: str = "") -> SpecError:
        return self.sites.error(place, node_at(self.tree, place), key, rule, hint=hint)

    def operands(self, leaf: Leaf) -> None:
        """Every operand is where the unit looks for its role, outside it where the unit reaches that too, or
        in its own registers; and every memory on its way may hold it.
        """
        cascade, machine, node = self.cascade, self.machine, leaf.node
        unit, dram = machine.unit(node.unit), machine.dram.name
        for tensor, role in roles_of(unit, node, self.einsum(leaf)).items():
            if tensor in node.chained:
                continue
            homes = leaf.homes.get(tensor, ())
            self._held(leaf, tensor, homes)
            near = reads(machine, unit.name, role)
            own = bool(homes) and homes[-1].memory == unit.name
            if own and not (unit.by_role and self._crosses(tensor, homes[-1])):
                continue
            there = [home.memory for home in homes if home.memory != unit.name]
            inner = there[-1] if there else dram
            further = passes_by(cascade, machine, node, tensor)
            if inner == near or (further and inner in outside(machine, near) and inner != dram):
                continue
            if further and inner == dram and straight(cascade, machine, node, tensor):
                continue
            rule = f"operand {tensor} is in {inner}{'' if there else ' only'}, but "
            if unit.by_role:
                does = "writes outputs to" if role == "outputs" else f"reads {role} from"
                rule += f"unit {unit.name} {does} {near}"
            elif further or inner not in outside(machine, near):
                rule += f"unit {unit.name} reads from {near}"
            else:
                rule += f"a core reads it from its own {near}"
            raise self.fault(leaf.place, rule, hint=f"keep {tensor} in {near} above it")

    def _crosses(self, tensor: str, home: Home) -> bool:
        """Whether anything of a tensor moves between a keep and what is outside it."""
        inside = {leaf.node.einsum for leaf in self.layout.under(home.place)}
        used = {tensor, *(reader.name for reader in self.cascade.consumers(tensor))}
        return self.cascade.is_output(tensor) or not used <= inside

    def _held(self, leaf: Leaf, tensor: str, homes: tuple[Home, ...]) -> None:
        """Every memory on the way may hold the operand."""
        cascade, machine, node = self.cascade, self.machine, leaf.node
        memories = {memory.name for memory in machine.memories}
        for home in homes:
            if home.memory in memories and not may_hold(cascade, machine, home.memory, node, tensor):
                role, holds = role_of(cascade, machine, node, tensor), machine.memory(home.memory).holds
                rule = (
                    f"{home.memory} holds {' and '.join(holds)} only, and {tensor} is {role} of {node.einsum}"
                )
                raise self.fault(home.place, rule, "keep", f"leave {tensor} out of {home.memory}")

    def parts(self, leaf: Leaf) -> None:
        """What several cores reduce together has figures where each core's part is whole when they meet."""
        cascade, machine, node = self.cascade, self.machine, leaf.node
        einsum, along = self.einsum(leaf), parted(cascade, node)
        if not along:
            return
        why, homes, unit = "", leaf.homes.get(einsum.name, ()), machine.unit(node.unit)
        own = [home for home in homes if cores_of(machine, home.memory) > 1]
        tied = along & mask_of(cascade, einsum.ranks).tied
        later = summed(cascade, self.layout, leaf)  # loops in whose later iterations parts go on
        inside = [self.layout.loops[n] for n in leaf.path[own[0].depth :] if n in later] if own else []
        if einsum.iterative:
            why = "a state"
        elif compressed(machine, cascade.tensor(einsum.name)):
            why = "a compressed tensor"
        elif any(rank in along for rank, _ in skips(cascade, unit, einsum, cascade.sizes)):
            why = "what is skipped along such a rank"
        elif any(einsum.name in other.node.chained for other in self.layout.using(cascade, einsum.name)):
            why = "what another Einsum takes chained"
        elif len(own) > 1 or (own and own[0] != homes[-1]):
            why = "what is kept in two memories of each core"
        elif own and len(users(cascade, self.layout, own[0])) > 1:
            why = f"what another Einsum reads in {own[0].memory}"
        elif any(tied or (along & {*loop.ranks} and loop.tile < unit.dims["cores"]) for loop in inside):
            why = "where some begin their part in a later tile"
        if why:
            rule = f"not modelled: several cores reduce {why}"
            raise self.fault(leaf.place, rule, "spatial", "lay output ranks along them")

    def cores(self, home: Home) -> None:
        """A core finds in its own memory what it needs: where a leaf makes the tensor there, all use it on
        the cores that have made it; else all split it alike.
        """
        unit = next((unit for unit in self.machine.units if unit.name == home.memory), None)
        copies = unit.dims.get("cores", 1) if unit else self.machine.memory(home.memory).copies
        if copies == 1:
            return
        here = users(self.cascade, self.layout, home)
        made = any(leaf.node.einsum == home.tensor for leaf in here)
        first: tuple[str, object] | None = None
        for leaf in here:
            if home.tensor in leaf.node.chained:
                continue
            for access in uses(self.einsum(leaf), home.tensor)[: None if made else 1]:
                moved = relevant_ranks(self.cascade, access)
                split: object = {r for r in cores_ranks(leaf.node) if self.cascade.size(r) > 1 and r in moved}
                split = self._dealt(leaf, access) if made else split
                first = first or (leaf.node.einsum, split)
                if split != first[1]:
                    rule = f"{leaf.node.einsum} splits {home.tensor} over the cores otherwise than {first[0]}"
                    why = f", and a core reaches its own {home.memory} only"
                    rule = rule + why if made else f"not modelled: {rule}"
                    hint = "lay the same ranks along the cores, or keep it outside"
                    raise self.fault(home.place, rule, "in", hint)

    def _dealt(self, leaf: Leaf, access: Access) -> tuple[Turn, ...]:
        return tuple(dealt(self.cascade, self.machine, self.layout, leaf, access).values())

    def chained(self, leaf: Leaf) -> None:
        """A chained operand is what an earlier leaf on the same unit has just made, on the same cores."""
        for access in self.einsum(leaf).reads:
            maker = self.leaf_of.get(access.tensor)
            if access.tensor in leaf.node.chained and (
                maker is None or not self._just_made(leaf, maker, access)
            ):
                rule = f"{access.tensor} is not made on {leaf.node.unit} inside the same loops"
                hint = f"leave {access.tensor} out of chained and keep it"
                raise self.fault(leaf.place, rule, "chained", hint)

    def _just_made(self, leaf: Leaf, maker: Leaf, access: Access) -> bool:
        made, extents = self.einsum(maker), points_below(self.layout, self.cascade, maker.path)
        walks = [[n for n in one.path if self.layout.loops[n].count > 1] for one in (leaf, maker)]
        looped = {rank for number in walks[0] for rank in self.layout.loops[number].ranks}
        stepped = {written.ranks[0] for written in _steps(access, made) if extents[written.ranks[0]] > 1}
        return (
            maker.node.unit == leaf.node.unit
            and walks[0] == walks[1]
            and not stepped
            and self._dealt(leaf, access) == self._dealt(maker, made.output)
            and all(in_place(self.cascade, self._read(leaf, maker, access), rank, {}) for rank in looped)
        )

    def _read(self, leaf: Leaf, maker: Leaf, access: Access) -> Dependence:
        return Dependence(self.einsum(maker), self.einsum(leaf), access)

    def order(self, leaf: Leaf) -> None:
        """What a leaf reads has been made: by an earlier iteration of a loop that it shares with what makes
        it, or by an earlier leaf in the same one.
        """
        for access in self.einsum(leaf).reads:
            producer = self.cascade.producer(access.tensor)
            if producer is None:
                continue
            maker = self.leaf_of[producer.name]
            if initial_only(self.cascade, self._read(leaf, maker, access)):
                continue
            theirs = maker.homes.get(access.tensor, ())
            own = [home for home in leaf.homes.get(access.tensor, ()) if home not in theirs]
            over = {*self.cascade.overwritten.get(producer.name, ())}
            several = own and len(self._steps_read(leaf, maker, over)) > 1
            if several and maker is not leaf and not self._both_steps(leaf, maker, access.tensor, own):
                rule = (
                    f"not modelled: {leaf.node.einsum} finds several steps of {access.tensor} in its own keep"
                )
                hint = f"keep {access.tensor} where it is made too"
                raise self.fault(own[0].place, rule, "keep", hint)
            shared = {rank for at in common_loops(leaf, maker) for rank in self.layout.loops[at].ranks}
            steps = {rank for index in _steps(access, producer) for rank in index.ranks}
            lost = steps & over
            for rank in sorted(lost) if maker is not leaf else ():
                if rank not in shared and self.cascade.size(rank) > 1:
                    rule = f"not modelled: reads all steps of {access.tensor} along {rank}, not the last one"
                    hint = f"put both inside one loop over {rank} in steps of 1"
                    raise self.fault(leaf.place, rule, hint=hint)
            before = any(self._behind(leaf, maker, access, number) for number in common_loops(leaf, maker))
            if not before and self.order_of[maker.place] > self.order_of[leaf.place]:
                raise self.fault(leaf.place, f"reads {access.tensor} before it is computed")

    def _behind(self, leaf: Leaf, maker: Leaf, access: Access, number: int) -> bool:
        """Whether an access always finds what an earlier iteration of a shared loop has made. A fault where
        it may want what a later one makes, or what a keep inside the loop no longer has.
        """
        loop, producer = self.layout.loops[number], self.einsum(maker)
        if loop.count == 1:
            return False
        single = self._single(leaf, maker, number)  # what is earlier is there from the start
        outside = [self.layout.loops[at] for at in leaf.path[: leaf.path.index(number)]]
        given = {rank: other.tile for other in outside for rank in other.ranks}
        for rank in loop.ranks:
            ends = ahead(self.cascade, self._read(leaf, maker, access), rank, given)
            if ends is None:
                return True
            low, high = ends
            if single:
                return high <= -loop.tile
            if high > 0 or rank in producer.reduced:
                rule = f"reads {access.tensor} at a {rank} that the shared loop over it has not made"
                if rank in producer.reduced:
                    rule = f"reads {access.tensor} inside the loop over {rank} that still reduces it"
                raise self.fault(leaf.place, rule, hint=f"end the loop over {rank} before it")
            theirs = maker.homes.get(access.tensor, ())
            homes = [
                home for home in leaf.homes.get(access.tensor, ())
                if home in theirs and home.memory != self.machine.dram.name
                and home.depth > leaf.path.index(number)
            ]  # fmt: skip
            if low < 0 and homes and not ((low, high) == (-1, -1) and self._carries(maker, rank, homes)):
                rule = f"not modelled: it stands inside the loop over {rank}, of which {leaf.node.einsum}"
                rule += f" reads {access.tensor} from an earlier iteration"
                hint = f"keep {access.tensor} above that loop"
                raise self.fault(homes[-1].place, rule, "keep", hint)
            if high <= -loop.tile:
                return True
        return False

    def _carries(self, maker: Leaf, rank: str, homes: list[Home]) -> bool:
        """Whether keeps inside a loop over a rank hand on a state from each step to the next: where nothing
        else than the step before comes back into them, for all elements alike.
        """
        einsum = self.einsum(maker)
        steps = [one for one in einsum.iterative if self.cascade.size(one) > 1]
        if steps != [rank] or rank in mask_of(self.cascade, einsum.ranks).tied:
            return False
        return not any(summed(self.cascade, self.layout, maker, home.depth) for home in homes)

    def _steps_read(self, leaf: Leaf, maker: Leaf, over: Set[str]) -> set[tuple[Index, ...]]:
        """Where a leaf reads a state along ranks of which one step is kept, but its initial value."""
        written = self.einsum(maker).output.indices
        return {
            tuple(index for index, at in zip(read.indices, written, strict=True) if over & {*at.ranks})
            for read in uses(self.einsum(leaf), maker.node.einsum)
            if not initial_only(self.cascade, self._read(leaf, maker, read))
        }

    def _both_steps(self, leaf: Leaf, maker: Leaf, tensor: str, homes: list[Home]) -> bool:
        """Whether the steps of a state that a leaf finds in its own keeps are the present one and the one
        before, which come into them each by itself.
        """
        steps = {stepping(self.cascade, self.layout, home) for home in homes}
        if len(steps) > 1 or len(ranks := steps.pop()) != 1 or not self._carries(maker, ranks[0], []):
            return False
        reads = (read for read in self.einsum(leaf).reads if read.tensor == tensor)
        return all(lags(read, self.einsum(maker)).get(ranks[0]) in (0, 1) for read in reads)

    def _single(self, leaf: Leaf, other: Leaf, number: int) -> bool:
        """Whether bounds leave both leaves the same iteration of a loop, wherever the loops outside stand."""
        mask, theirs = (mask_of(self.cascade, self.einsum(one).ranks) for one in (leaf, other))
        loops = tuple(self.layout.loops[at] for at in leaf.path[: leaf.path.index(number) + 1])
        if mask.bounds != theirs.bounds or not mask.tied & set(loops[-1].ranks):
            return False
        cut = Cut((mask,), tuple(sorted(mask.tied)))
        with_it, without = (
            Path(part, {}, self.cascade.sizes, cut=cut).total() for part in (loops, loops[:-1])
        )
        return with_it == without


def _steps(access: Access, producer: Einsum) -> list[Index]:
    """The indices of a result along which an access reads a state step by step, not at one fixed step."""
    return [
        written
        for read, written in zip(access.indices, producer.output.indices, strict=True)
        if read.terms and set(written.ranks) & set(producer.iterative)
    ]
