"""How a tensor stands in a memory: how wide its values are there, and in which format."""

from __future__ import annotations

import msgspec

from einsim.accel.codec import Codec
from einsim.accel.machine import Machine
from einsim.workloads.cascade import Tensor
from einsim.workloads.sparsity import DENSE, Density, RunLength, Sparsity, run_bits

FEW = 2**16
"""Values by which is seen whether a code is shorter."""


def kept_compressed(machine: Machine, tensor: Tensor) -> bool:
    """Whether some unit exploits a tensor's pattern, so that it is kept compressed everywhere."""
    patterns = tensor.sparsity.patterns
    return bool(patterns) and any(one in unit.exploits for unit in machine.units for one in patterns)


def coded(machine: Machine, tensor: Tensor) -> bool:
    """Whether some memory has a tensor in a code of its own, and others have it whole."""
    if not tensor.sparsity.patterns or kept_compressed(machine, tensor):
        return False
    codes = (one.codec for one in machine.memories if one.codec is not None)
    return any(_form(code, tensor) != DENSE for code in codes)


def compressed(machine: Machine, tensor: Tensor) -> bool:
    """Whether the machine keeps a tensor of a cascade compressed, in some memory at least."""
    return kept_compressed(machine, tensor) or coded(machine, tensor)


def packed(tensor: Tensor) -> bool:
    """Whether a tensor `as_held` in a memory is compressed there."""
    return bool(tensor.sparsity.patterns)


def as_held(machine: Machine, memory: str, tensor: Tensor) -> Tensor:
    """A tensor as it is in a memory, whose values may have more bits, and dense where it isn't compressed; a
    unit's registers have it dense, or as all memories do.
    """
    place = next((one for one in machine.memories if one.name == memory), None)
    least = place.value_bits if place is not None else 0
    held = tensor if tensor.bits >= least else msgspec.structs.replace(tensor, bits=least)
    if not packed(tensor) or kept_compressed(machine, tensor):
        return held
    form = _form(place.codec, held) if place is not None else DENSE
    return msgspec.structs.replace(held, sparsity=form)


def run_coded(held: Tensor) -> bool:
    """Whether a tensor `as_held` in a memory is there as runs of zeros and values."""
    return isinstance(held.sparsity, RunLength)


def sums_held(machine: Machine, memory: str, wide: Tensor) -> Tensor:
    """As `as_held`, of partial sums, which no codec of zeros makes shorter: they pass as they are."""
    held = as_held(machine, memory, wide)
    return msgspec.structs.replace(held, sparsity=DENSE) if run_coded(held) else held


def _form(codec: Codec | None, tensor: Tensor) -> Sparsity:
    """The format of a tensor with a pattern where such a codec stands; dense where it makes none shorter."""
    if codec is None:
        return DENSE
    if codec.format == "pattern":
        return tensor.sparsity
    if not isinstance(tensor.sparsity, Density):
        return DENSE
    form = RunLength(tensor.sparsity.density, codec.run_bits, codec.word_bytes * 8)
    shorter = run_bits(msgspec.structs.replace(tensor, sparsity=form), FEW) < FEW * tensor.bits
    return form if shorter else DENSE
