"""What a model needs of DRAM, part by part: weights, caches and states, and a part's activations.

Weights are all there from the beginning. A prompt's caches fill layer by layer, a decode step finds them all.
Activations are those tensors of a part that its mapping moves to or from DRAM, each from the Einsum that
makes it to the last that reads it.
"""

from __future__ import annotations

import msgspec

from einsim.dataflow.result import Result
from einsim.specs.argument import Amount
from einsim.workloads.cascade import Cascade
from einsim.workloads.einsum import Tensor
from einsim.workloads.models import roles
from einsim.workloads.models.parts import ModelPart
from einsim.workloads.sparsity import stored_bytes


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that one piece of a part holds in DRAM: what it keeps for later steps, and its activations."""

    kept_bytes: int
    activation_bytes: float


class Moment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """DRAM while a part runs, in the order of the run; `until_s` is when it is done."""

    phase: str
    part: str
    until_s: Amount
    weight_bytes: Amount
    kept_bytes: Amount
    activation_bytes: Amount

    @property
    def bytes(self) -> float:
        """All of it."""
        return self.weight_bytes + self.kept_bytes + self.activation_bytes


def held(part: ModelPart, result: Result, dram: str) -> Held:
    """Of a piece of a part, as its mapping has it."""
    cascade = part.cascade
    stored = set(roles.stored(cascade))
    learnt = set(roles.weights(cascade))
    moved = [
        tensor for tensor in cascade.tensors
        if result.traffic.get(dram, {}).get(tensor.name) and tensor.name not in stored | learnt
    ]  # fmt: skip
    return Held(kept_bytes=kept_bytes(cascade), activation_bytes=_peak(cascade, moved) + part.beside_bytes)


def kept_bytes(cascade: Cascade) -> int:
    """Caches and states that a step finds or leaves."""
    return sum(_bytes(cascade, cascade.tensor(name)) for name in roles.stored(cascade))


def _peak(cascade: Cascade, tensors: list[Tensor]) -> int:
    """The most bytes of these tensors that are alive at once, Einsum after Einsum."""
    last = len(cascade.einsums)
    change = [0] * (last + 2)
    for tensor in tensors:
        users = [cascade.einsum_places[einsum.name] for einsum, _ in cascade.users(tensor.name)]
        first = min(users) if cascade.producer(tensor.name) else 0
        end = last if cascade.is_output(tensor.name) else max(users)
        size = _bytes(cascade, tensor)
        change[first] += size
        change[end + 1] -= size
    alive = most = 0
    for step in change:
        alive += step
        most = max(most, alive)
    return most


def _bytes(cascade: Cascade, tensor: Tensor) -> int:
    """A tensor as it is stored; of a state that each step overwrites, one step."""
    elements = cascade.elements(tensor.name)
    for rank in cascade.overwritten.get(tensor.name, ()):
        elements //= cascade.shape(tensor.name)[tensor.ranks.index(rank)]
    return stored_bytes(tensor, elements)
