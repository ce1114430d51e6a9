"""Blocks dealt to cores: one block is simulated for each number of neighbours that it may have, then an event
list hands all of them out.

A core that has a free slot takes the next block, the emptiest core first, no two within a launch's
`per_block`. Blocks of a core run at the rate at which so many of them together were simulated there; when
one ends, those that stay go on faster. Of a memory that all cores share each core at work has an equal part.
No run ends before what all blocks move through that memory, or do on the cores, is done: the analytical level
is that bound.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from functools import cache, cached_property

from einsim.accel.machine import LEAKAGE, Machine
from einsim.dataflow.account import PICO, static_counts
from einsim.dataflow.analytical import DISPATCH, analyse, busy_ticks
from einsim.dataflow.clock import port_name
from einsim.dataflow.dealt import (
    Deal,
    Reads,
    block_of,
    blocks_of,
    check_deal,
    core_of,
    cores_dealt,
    reads_of,
    tenants,
)
from einsim.dataflow.held_down import capped, slower
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping_text import mapping_text
from einsim.dataflow.result import Result
from einsim.sim.engine import simulate
from einsim.workloads.cascade import Cascade

SKIPPED = 2
"""Whole waves that are not skipped."""
PARTS = 8
"""Parts of all cores in which those at work are counted, rounded up."""


def deal_out(deal: Deal, cascade: Cascade, machine: Machine, *, level: str = "sim") -> Result:
    """What a cascade costs that is dealt to a machine's cores, at "sim" or "analytical".

    SpecError where `check_deal` says so, and as `analyse` says where the machine has a power cap.
    """
    check_deal(deal, cascade, machine)
    reads = reads_of(deal, cascade, machine)
    return capped(machine, lambda step: _Dealing(deal, cascade, slower(machine, step), reads, level).result())


class _Dealing:
    """One evaluation at one clock."""

    def __init__(self, deal: Deal, cascade: Cascade, machine: Machine, reads: Reads, level: str) -> None:
        self.deal, self.cascade, self.machine, self.reads, self.level = deal, cascade, machine, reads, level
        self.cores, self.count = cores_dealt(machine), blocks_of(deal, cascade)
        self.block = block_of(deal, cascade)
        clock, launch = machine.clock_hz, machine.launch
        started = launch.start_cycles(1, clock) + launch.touch_cycles(clock) + machine.dispatch.cycles(1)
        self.start_s = started / clock
        bare = core_of(machine, deal, 1)
        program = lower(deal.block, self.block, bare)
        self.alone = analyse(program, bare)
        through = self.alone.traffic[deal.through]
        written = sum(size for name, size in through.items() if cascade.producer(name))
        self.passing = (sum(through.values()) - written) * self.count, written * self.count
        self.crossing = tuple(
            sum(size for name, size in reads.outside.items() if bool(cascade.producer(name)) == made)
            for made in (False, True)
        )
        self.missing = tuple(
            min(1.0, part / max(1, whole)) for part, whole in zip(self.crossing, self.passing, strict=True)
        )
        self.busy_s = {
            engine: ticks / program.ticks_per_cycle / program.clock_hz
            for engine, ticks in busy_ticks(program, static_counts(program)).items()
            if ticks
        }
        self.waves = cache(self._wave)

    def _wave(self, here: int, active: int) -> Result:
        """So many blocks on a core where so many cores are at work."""
        core = core_of(self.machine, self.deal, active, (self.missing[0], self.missing[1]))
        return simulate(tenants(lower(self.deal.block, self.block, core), here), core)

    def together(self, here: int, active: int) -> float:
        """Seconds of such blocks, with what each takes to begin."""
        return self.waves(here, active).latency_s + self.machine.launch.block_start_s

    @cached_property
    def bound_s(self) -> dict[str, float]:
        """Seconds that all blocks take at least, by what sets them."""
        core = core_of(self.machine, self.deal, 1, (self.missing[0], self.missing[1]))
        root, found = core.dram, dict[str, float]()
        ports = {port_name(root, reads) for reads in (True, False)}
        for engine, seconds in self.busy_s.items():
            if engine not in ports:
                found[engine] = seconds * self.count / self.cores
        rates = root.read_bytes_per_s, root.write_bytes_per_s
        found[self.deal.through] = max(
            size / rate if rate else 0.0 for size, rate in zip(self.passing, rates, strict=True)
        )
        found["blocks"] = self.machine.launch.per_block_s * self.count
        found["block"] = self.alone.latency_s + self.machine.launch.block_start_s
        return found

    def span_s(self) -> float:
        """Seconds from the first block's start to the last one's end."""
        bound = max(self.bound_s.values())
        if self.level == "analytical":
            return bound
        slots, wave = self.deal.slots, self.deal.slots * self.cores
        waves = max(0, self.count // wave - SKIPPED)
        skipped = max(self.together(slots, self.cores), wave * self.machine.launch.per_block_s) * waves
        return max(bound, skipped + self._events(self.count - waves * wave))

    def _events(self, count: int) -> float:
        """Seconds in which so many blocks are handed out and done."""
        cores, slots, gap = self.cores, self.deal.slots, self.machine.launch.per_block_s
        left = [list[float]() for _ in range(cores)]  # shares of each core's blocks that are to be done
        since, ends = [0.0] * cores, [math.inf] * cores
        free = [(0, core) for core in range(cores)]
        heapq.heapify(free)
        given, now, next_at = 0, 0.0, 0.0
        pace = [math.inf] * cores

        def settle(core: int) -> None:
            """Bring a core up to now."""
            if left[core]:
                done = (now - since[core]) / pace[core]
                left[core] = [share - done for share in left[core]]
            since[core] = now

        def repace(core: int, active: int) -> None:
            if left[core]:
                pace[core] = self.together(len(left[core]), active)
                ends[core] = now + max(0.0, min(left[core])) * pace[core]
            else:
                ends[core] = math.inf

        active = 0
        while True:
            touched = set[int]()
            while given < count and free and next_at <= now + 1e-15:
                here, core = heapq.heappop(free)
                if here != len(left[core]):
                    continue
                settle(core)
                left[core].append(1.0)
                touched.add(core)
                given, next_at = given + 1, max(next_at + gap, now)
                if len(left[core]) < slots:
                    heapq.heappush(free, (len(left[core]), core))
            before, active = active, self._counted(sum(1 for each in left if each) + count - given)
            if active != before:
                for core in range(cores):
                    settle(core)
                touched = set(range(cores))
            for core in touched:
                repace(core, active)
            upcoming = min(ends)
            if given < count and free:
                upcoming = min(upcoming, max(next_at, now))
            if upcoming == math.inf:
                return now
            now = upcoming
            for core in range(cores):
                if ends[core] <= now * (1 + 1e-12):
                    settle(core)
                    left[core] = [share for share in left[core] if share > 1e-9]
                    repace(core, active)
                    heapq.heappush(free, (len(left[core]), core))

    def _counted(self, active: int) -> int:
        """So many cores at work, or about to be, in whole parts of all."""
        part = -(-self.cores // PARTS)
        return min(self.cores, -(-active // part) * part)

    def result(self) -> Result:
        """The figures of all blocks."""
        machine, span = self.machine, self.span_s()
        seconds = self.start_s + span
        clock = machine.clock_hz
        cycles, started = math.ceil(round(seconds * clock, 6)), round(self.start_s * clock)
        spent = self.alone.energy_by.items()
        energy = {name: joules * self.count for name, joules in spent if name != LEAKAGE}
        dram = machine.dram
        each = ((dram.read_pj, self.crossing[0]), (dram.write_pj, self.crossing[1]))
        unknown = tuple(
            f"{dram.name} {what}" for what, (pj, size) in zip(("read", "write"), each, strict=True)
            if pj is None and size
        )  # fmt: skip
        energy[dram.name] = sum((pj or 0.0) * dram.accesses(size) * PICO for pj, size in each)
        energy[LEAKAGE] = machine.static_w * seconds
        lacking = (*self.alone.energy_not_stated, *unknown)
        if machine.leakage_w is None:
            lacking = (*lacking, LEAKAGE)
        bounds = self.bound_s
        busiest = max(bounds, key=lambda name: bounds[name])
        units = {
            unit.name: min(1.0, self.alone.utilization[unit.name] * self.alone.latency_s * self.count
                           / self.cores / seconds)
            for unit in machine.units
        }  # fmt: skip
        rows = {unit.name: self._rows(unit.name, cycles, started) for unit in machine.units}
        stalls = {
            name: {cause: n for cause, n in each.items() if cause != "busy"} for name, each in rows.items()
        }
        critical = max(units, key=lambda name: rows[name]["busy"])
        return Result(
            workload=self.cascade.name, accel=machine.name, level=self.level,
            mapping=f"deal {self._dealt()} through {self.deal.through}\n{mapping_text(self.deal.block)}",
            cycles=cycles, latency_s=seconds, dram_bytes=sum(self.crossing), utilization=units,
            stalls=_causes(stalls[critical]),
            stalls_by_unit={name: _causes(each) for name, each in stalls.items()},
            breakdown_by_unit=rows, energy_by=energy, energy_not_stated=lacking,
            energy_beside=energy,
            traffic={
                dram.name: dict(self.reads.outside),
                **{name: {of: size * self.count for of, size in each.items()}
                   for name, each in self.alone.traffic.items()},
            },
            bottleneck=busiest, bound_by={name: math.ceil(value * clock) for name, value in bounds.items()},
            by_einsum={}, buffers=self.alone.buffers, notes=self.alone.notes, assumed=machine.assumed,
            macs=self.cascade.macs,
        )  # fmt: skip

    def _rows(self, unit: str, cycles: int, started: int) -> dict[str, int]:
        """What a unit's cycles went to: what it waits for in a wave of all cores stands for all waits."""
        share = self.busy_s.get(unit, 0.0) * self.count / self.cores
        busy = min(cycles - started, math.floor(share * self.machine.clock_hz))
        lost, rest = self._lost(unit), cycles - started - busy
        whole = sum(lost.values())
        found = {name: value * rest // whole for name, value in lost.items()}
        found[max(lost, key=lambda name: lost[name])] += rest - sum(found.values())
        return {"busy": busy, DISPATCH: started, **found}

    def _lost(self, unit: str) -> dict[str, int]:
        """Cycles by what a unit waits for in one wave; of the analytical level that it isn't busy."""
        if self.level == "analytical":
            return {"not busy:": 1}
        rows = self.waves(self.deal.slots, self.cores).breakdown_by_unit[unit]
        return {name: cycles for name, cycles in rows.items() if name != "busy" and cycles} or {"fill:": 1}

    def _dealt(self) -> str:
        tiles = " ".join(f"{rank}/{tile}" for rank, tile in self.deal.tiles.items())
        return f"{tiles} slots {self.deal.slots} together {self.deal.together}"


def _causes(rows: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, cycles in rows.items():
        cause = name.partition(":")[0]
        found[cause] = found.get(cause, 0) + cycles
    return found
