"""Tensors that stay whole in the outermost on-chip memory: results for all of a cascade, inputs from their
first reader on.
"""

from __future__ import annotations

import itertools
import math

from einsim.accel.machine import Machine
from einsim.dataflow.footprint import tile_bytes
from einsim.dataflow.forms import as_held
from einsim.dataflow.held import result_bytes
from einsim.dataflow.mapper.nest import alike
from einsim.workloads.cascade import Cascade

#: Tensors of a cascade up to which every set of them is tried.
MOST_SUBSETS = 2
#: How many of the smallest are tried otherwise, and all of them.
COUNTS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


def resident_bytes(cascade: Cascade, machine: Machine, tensor: str, memory: str) -> int:
    """Bytes of a whole tensor in a memory; of a result as wide as its sums may be."""
    maker = cascade.producer(tensor)
    if maker is not None:
        return result_bytes(cascade, machine, maker, memory)
    access = next(cascade.accesses(tensor))
    held = as_held(machine, memory, cascade.tensor(tensor))
    return tile_bytes(cascade, machine, access, cascade.sizes, held)


def resident_sets(cascade: Cascade, machine: Machine, memory: str) -> tuple[tuple[str, ...], ...]:
    """The sets that may stay, the empty one first: every set of a few results, else the smallest ones, as
    many as fit; each without and with the inputs that several Einsums read alike, the smallest that fit.
    """
    inputs = [tensor.name for tensor in cascade.inputs if alike(cascade, tensor.name, cascade.einsums)]
    made = [e.name for e in cascade.einsums if not e.iterative and not cascade.is_output(e.name)]
    sizes = {name: resident_bytes(cascade, machine, name, memory) for name in (*inputs, *made)}
    room = machine.memory(memory).capacity_bytes or math.inf
    if len(made) <= MOST_SUBSETS:
        sets = [some for count in range(len(made) + 1) for some in itertools.combinations(made, count)]
    else:
        order = sorted(made, key=sizes.__getitem__)
        counts = sorted({*(count for count in COUNTS if count < len(made)), len(made)})
        sets = [tuple(name for name in made if name in order[:count]) for count in counts]
    found = [some for some in sets if not some or sum(map(sizes.__getitem__, some)) < room]
    for some in tuple(found):
        left = room - sum(map(sizes.__getitem__, some))
        order = sorted(inputs, key=sizes.__getitem__)
        fitting = {n for at, n in enumerate(order, 1) if sum(map(sizes.__getitem__, order[:at])) < left}
        if fitting:
            found.append((*(name for name in inputs if name in fitting), *some))
    return tuple(found)
