"""Jobs of the top-N sorter, from the simulator's stepped sorter."""

from __future__ import annotations

from einsim.rtl_models.bench.job import Event, Job
from einsim.rtl_models.bench.pressure import NO_WAITS, Pressure, clocks, hexed
from einsim.rtl_models.bench.scoreboard import pack, signed
from einsim.sim.arrays.sorter import SorterSpec, sort
from einsim.specs.arrays import Ints


def index_bits(spec: SorterSpec) -> int:
    """Bits of a position in a group."""
    return max(1, (spec.nm[1] - 1).bit_length())


def sorter_parameters(spec: SorterSpec, *, bits: int = 8) -> dict[str, int]:
    """RTL parameters of the sorter."""
    return {"LANES": spec.lanes, "N": spec.nm[0], "M": spec.nm[1], "W": bits, "IXW": index_bits(spec)}


def sorter_job(
    spec: SorterSpec, groups: Ints, *, bits: int = 8, pressure: Pressure = NO_WAITS, name: str = ""
) -> Job:
    """The sorter over groups [groups, m]: kept {index, value} pairs of each, and when they stand there."""
    run = sort(spec, groups)
    n, m = spec.nm
    each = bits + index_bits(spec)
    words, events = [], []
    for first in range(0, len(groups), spec.lanes):
        chosen = groups[first : first + spec.lanes]
        words += [pack(chosen[:, beat], bits) for beat in range(m)]
        for lane in range(len(chosen)):
            kept = zip(run.values[first + lane], run.index[first + lane], strict=True)
            pairs = [(int(index) << bits) | (int(value) & ((1 << bits) - 1)) for value, index in kept]
            events.append(
                Event(
                    cycle=(first // spec.lanes + 1) * m, lane=lane, value=signed(pack(pairs, each), n * each),
                    where=f"lane {lane}, group {first + lane}",
                    operands=(tuple(map(int, chosen[lane])), ()),
                )
            )  # fmt: skip
    # A result stands in the cycle after its group; the last one after the sorter has stopped.
    gives = [cycle > 0 and cycle % m == 0 for cycle in range(run.cycles)]
    gaps = {"in": pressure.gaps(len(words), 0)}
    return Job(
        name=name or f"sorter {spec.lanes} lanes {n}:{m}, {len(groups)} groups",
        config={"groups": len(groups)},
        streams={"in": hexed(words)},
        events=events,
        active=[int(count) for count in run.inserts],
        cycles=run.cycles,
        clocks=clocks(run.cycles, {"in": [True] * run.cycles}, gives, gaps, pressure.ready()),
        gaps=gaps,
        out_ready=pressure.ready(),
    )
