"""`einsim run --check`: one mapping, at a size that the oracle can walk, held against both levels."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.legality import check
from einsim.dataflow.mapping import Mapping
from einsim.specs.errors import EinsimError
from einsim.validation.oracle.compare import Disagreement, DrawnCase, judge
from einsim.validation.oracle.shrink import Shrunk, shrink, visits
from einsim.workloads.cascade import Cascade

LADDER = ((0, 0), (16, 4), (12, 4), (8, 4), (8, 3), (6, 3), (4, 3), (4, 2), (3, 2), (2, 2), (1, 2))
"""Points of an innermost tile and iterations of a loop, at most: from the case as it is to the smallest."""
SECONDS = 3.0
"""What a walk may take of a core; twice or three times that where others share it."""
TILE_S, POINT_S = 1.4e-3, 8e-6
"""What a tile and a point take, measured on the library's templates."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared and how that ended: `sizes` of ranks and `units` before and after, what was `kept`
    and why, how many figures were `compared` by kind, and the `differences`, the first one first; apart from
    them what is counted as an `upper` value, as docs/mappings.md says, and is.
    """

    sizes: dict[str, tuple[int, int]]
    units: dict[str, tuple[int, int]]
    kept: tuple[str, ...]
    compared: dict[str, int]
    differences: tuple[str, ...]
    upper: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether everything is as the oracle has it, or more where it may be."""
        return not self.differences


def check_mapping(work: Cascade, machine: Machine, mapping: Mapping) -> Report:
    """Walk a legal mapping at a size of seconds, and compare points, actions, bytes, energy and values.

    EinsimError where no size is small enough and legal.
    """
    chip, kept = _piped(machine)
    last: EinsimError | None = None
    for points, rounds in LADDER:
        small = shrink(work, chip, mapping, points, rounds)
        tiles, computed = visits(small)
        if tiles * TILE_S + computed * POINT_S > SECONDS and (points, rounds) != LADDER[-1]:
            continue
        try:
            check(small.mapping, small.work, small.chip)
        except EinsimError as error:
            last = error
            continue
        return _judged(small, kept)
    raise EinsimError(f"--check: no size of {work.name} that the oracle can walk is legal: {last}")


def _judged(small: Shrunk, kept: tuple[str, ...]) -> Report:
    case = DrawnCase(name="run", kind="run", work=small.work, chip=small.chip, mapping=small.mapping)
    verdict = judge(case)
    upper = _upper(small.work, verdict.found)
    lines = {one: f"{one.kind}: {one.text}" for one in verdict.found}
    return Report(
        sizes=small.sizes, units=small.units, kept=(*kept, *small.kept), compared=verdict.compared,
        differences=tuple(line for one, line in lines.items() if one not in upper),
        upper=tuple(line for one, line in lines.items() if one in upper),
    )  # fmt: skip


def _upper(work: Cascade, found: Sequence[Disagreement]) -> set[Disagreement]:
    """Bytes of states of which all steps are kept that are more than the oracle's, and what those cost."""
    states = {
        einsum.name
        for einsum in work.einsums
        for index in einsum.output.indices
        if index.offset == 1 and not {*index.ranks} <= {*work.overwritten.get(einsum.name, ())}
    }
    bytes_ = {one for one in found if "bytes " in one.kind and one.kind.endswith(" more")}
    bytes_ = {one for one in bytes_ if one.what.rpartition(" ")[2] in states}
    memories = {one.what.rpartition(" ")[0] for one in bytes_}
    costs = (one for one in found if "energy " in one.kind and one.kind.endswith(" more"))
    return bytes_ | {one for one in costs if one.what in memories}


def _piped(machine: Machine) -> tuple[Machine, tuple[str, ...]]:
    """The machine with DRAM as an ideal pipe, which is what the oracle knows."""
    if not machine.dram.timing:
        return machine, ()
    pipe = msgspec.structs.replace(
        machine.dram, timing="", timing_channels=0, refresh="average", row_hit_cap=0
    )
    memories = tuple(pipe if memory is machine.dram else memory for memory in machine.memories)
    said = f"{pipe.name}: as a pipe of its bandwidth, not by the commands of {machine.dram.timing}"
    return msgspec.structs.replace(machine, memories=memories), (said,)
