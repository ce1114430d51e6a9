"""Lowering: traffic is the count of distinct tile transfers; ticks are exact."""

from __future__ import annotations

import random
from fractions import Fraction

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.footprint import access_of, relevant_ranks, tile_bytes
from einsim.dataflow.iteration import Path
from einsim.dataflow.layout import lay_out
from einsim.dataflow.leaf import Residence, leaf_cost
from einsim.dataflow.legality import check
from einsim.dataflow.lower import Clock, lower
from einsim.dataflow.mapping_text import mapping_text, parse_text
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from tests.dataflow.cases import machine, program_case

LAWS = settings(max_examples=120, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32)


def positions(layout, leaf, sizes):
    """Every position of a leaf with the range of each rank."""
    loops = tuple(layout.loops[number] for number in leaf.path)
    path = Path(loops, {}, sizes)
    position = path.first()
    while position is not None:
        ranges = {rank: (0, size) for rank, size in sizes.items()}
        for index, loop in zip(position, loops, strict=True):
            left = index
            for rank in reversed(loop.ranks):
                if len(loop.ranks) > 1:
                    left, point = divmod(left, sizes[rank])
                    ranges[rank] = (point, 1)
                else:
                    start, extent = ranges[rank]
                    ranges[rank] = (start + index * loop.tile, min(loop.tile, extent - index * loop.tile))
        yield tuple(position), ranges
        if not path.advance(position):
            return


def counted(work, chip, mapping):
    """Bytes by memory and tensor: operands of every leaf, and each distinct tile across every keep's border."""
    layout = lay_out(mapping, work)
    sizes = {rank.name: rank.size for rank in work.ranks}
    total: dict[tuple[str, str], int] = {}

    def add(memory, tensor, size):
        if memory in [m.name for m in chip.memories] and size:
            total[memory, tensor] = total.get((memory, tensor), 0) + size

    walked = {leaf.node.einsum: list(positions(layout, leaf, sizes)) for leaf in layout.leaves}
    for leaf in layout.leaves:
        einsum = work.einsum(leaf.node.einsum)
        homes = {name: held[-1] for name, held in leaf.homes.items()}
        living = {name: Residence(memory=home.memory, spill=home.spill) for name, home in homes.items()}
        begun = set()
        for _, ranges in walked[einsum.name]:
            tile = tuple(ranges[rank] for rank in einsum.output.ranks)
            extents = {r: n for r, (_, n) in ranges.items()}
            cost = leaf_cost(work, chip, einsum, leaf.node, extents, living, resumes=tile in begun)
            begun.add(tile)
            for access in cost.accesses:
                add(access.memory, access.tensor, access.read_bytes + access.write_bytes)
    for home, _ in layout.homes:
        tensor = home.tensor
        here = [leaf for leaf in layout.under(home.place) if home in leaf.homes.get(tensor, ())]
        outside = [leaf for leaf in layout.leaves if leaf not in layout.under(home.place)]
        maker = next((leaf for leaf in here if leaf.node.einsum == tensor), None)
        user = maker or next(leaf for leaf in here if reads(work, leaf, tensor))
        if (
            maker is not None
            and not work.is_output(tensor)
            and not any(reads(work, o, tensor) for o in outside)
        ):
            continue
        access = access_of(work.einsum(user.node.einsum), tensor)
        moved = relevant_ranks(work, access)
        tiles = {
            (position[: home.depth], tuple(sorted((rank, ranges[rank]) for rank in moved)))
            for position, ranges in walked[user.node.einsum]
        }
        chain = user.homes[tensor]
        at = chain.index(home)
        for _, tile in tiles:
            size = tile_bytes(work, chip, access, {rank: extent for rank, (_, extent) in tile})
            add(home.memory, tensor, size)
            add(chain[at - 1].memory if at else "dram", tensor, size)
    return total


def reads(work, leaf, tensor):
    return any(access.tensor == tensor for access in work.einsum(leaf.node.einsum).reads)


@LAWS
@given(SEEDS)
def test_traffic_is_the_count_of_distinct_tile_transfers(seed):
    case = program_case(seed, largest=5)
    assume(case is not None)
    work, chip, mapping = case
    found = analyse(lower(mapping, work, chip), chip).traffic
    assert {(m, t): size for m, row in found.items() for t, size in row.items() if size} == counted(*case)


@LAWS
@given(SEEDS)
def test_points_are_conserved(seed):
    """Without bounds, the tiles of an Einsum are its points, each once."""
    case = program_case(seed)
    assume(case is not None and not case[0].bounds)
    work, chip, mapping = case
    for name, share in analyse(lower(mapping, work, chip), chip).by_einsum.items():
        assert share.points == work.points(name)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS)
def test_every_duration_is_a_whole_number_of_ticks(seed):
    chip = machine(random.Random(seed))
    clock = Clock(chip)
    for unit in chip.units:
        exact = Fraction(chip.clock_hz) / Fraction(unit.clock_hz or chip.clock_hz)
        assert Fraction(clock.unit_ticks[unit.name], clock.ticks_per_cycle) == exact
    for memory in chip.memories:
        if memory.read_bytes_per_s:
            name = memory.name if memory.shared_port else f"{memory.name}.read"
            exact = Fraction(chip.clock_hz) / memory.read_bytes_per_s
            assert Fraction(clock.byte_ticks[name], clock.ticks_per_cycle) == exact


def faster(chip, times):
    """The same machine with every port `times` as fast."""
    memories = tuple(
        msgspec.structs.replace(
            memory,
            read_bytes_per_s=memory.read_bytes_per_s and memory.read_bytes_per_s * times,
            write_bytes_per_s=memory.write_bytes_per_s and memory.write_bytes_per_s * times,
        )
        for memory in chip.memories
    )
    return msgspec.structs.replace(chip, memories=memories)


@LAWS
@given(SEEDS, st.integers(2, 9))
def test_more_bandwidth_is_never_slower(seed, times):
    """Exactly so in the analytical model; in the simulator the order of service may cost a little."""
    case = program_case(seed)
    assume(case is not None)
    work, chip, mapping = case
    quick = faster(chip, times)
    slow, fast = lower(mapping, work, chip), lower(mapping, work, quick)
    assert analyse(fast, quick).latency_s <= analyse(slow, chip).latency_s
    assert simulate(fast, quick).latency_s <= 1.05 * simulate(slow, chip).latency_s


@pytest.mark.parametrize("template", ["unfused", "resident", "flat"])
def test_a_bigger_buffer_is_never_more_traffic(template):
    work = load_workload("attention-3pass", {"seq": "512", "b": "1", "h": "2"})
    last = None
    for size in ("256KiB", "512KiB", "1MiB", "2MiB", "4MiB", "16MiB"):
        chip = load_machine("flat-cloud", {"buffer": size})
        try:
            mapping = build_mapping(work, chip, template)
        except EinsimError:
            assert last is None
            continue
        found = analyse(lower(mapping, work, chip), chip).dram_bytes
        assert last is None or found <= last
        last = found
    assert last is not None


def test_a_sequence_on_one_unit_takes_what_its_parts_take():
    """Ideal ports: the simulator and the analytical model agree to the tick, latencies counted."""
    text = "B[i,j] = exp(A[i,j])\nC[i,j] = B[i,j] + A[i,j]\nD[i,j] = C[i,j] * B[i,j]"
    work = parse(text, name="chain", sizes={"i": 7, "j": 5})
    for seed in range(20):
        chip = machine(random.Random(seed), ideal=True)
        memory = chip.unit("mm").reads_from
        mapping = parse_text(
            f"chain on chip (t)\nfor i/3\n  keep A B C D in {memory} x1\n    sequence\n"
            + "".join(f"      {name} on mm rows=i cols=j\n" for name in "BCD")
        )
        check(mapping, work, chip)
        program = lower(mapping, work, chip)
        assert mapping_text(mapping) == program.mapping
        assert simulate(program, chip, jump=False).cycles == analyse(program, chip).cycles
