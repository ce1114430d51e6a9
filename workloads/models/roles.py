"""The roles of a part's tensors: weights, what lives in a cache between steps, constants, activations.

The cascades of `einsim.workloads.models` are made with these names; what isn't among them is a weight.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from einsim.workloads.cascade import Cascade
from einsim.workloads.sparsity import NM

WEIGHTS, ACTIVATIONS, KV, OTHERS = "weights", "activations", "kv", "others"

_CACHE = {"K", "V", "KX", "VX", "LAT", "KR"}
"""Keys and values, those of an encoder, latents and their rotated keys: they grow with the tokens."""
STATE = {"H0", "XS", "BS", "CS"}
"""States and what the taps of a convolution still need: as large after any number of tokens."""
_ENTRIES = {"KN", "VN", "LATN", "KRN"}
"""Entries of a cache as a step makes them."""
ROUTERS = ("WR", "WSG")
"""Matrices by which a mixture chooses experts, and weighs what all tokens share."""
_CONSTANT = {"COS", "SIN", "SLOPE", "REL"}
_GIVEN = {"X", "U", "XE", "YE", "GW", "I"}
"""Activations that come from other parts: tokens, an encoder's, an expert's, a mixture's shares, images."""
_OTHER = _CACHE | STATE | _CONSTANT | _GIVEN


def weights(cascade: Cascade) -> tuple[str, ...]:
    """Inputs that are learnt: matrices, biases, gains, rows of tables."""
    return tuple(tensor.name for tensor in cascade.inputs if not _known(tensor.name))


def _known(name: str) -> bool:
    """Whether it has another role; graphs number their activations, I2 and so on."""
    return name in _OTHER or (name[0] == "I" and name[1:].isdecimal())


def matrices(cascade: Cascade) -> tuple[str, ...]:
    """Weights that multiply: their names begin with W. Gains, biases and tables don't."""
    return tuple(name for name in weights(cascade) if name.startswith("W"))


def cache(cascade: Cascade) -> tuple[str, ...]:
    """Inputs that earlier steps left: keys and values by token."""
    return tuple(tensor.name for tensor in cascade.inputs if tensor.name in _CACHE)


def stored(cascade: Cascade) -> tuple[str, ...]:
    """What a step finds from earlier ones or leaves for later ones: caches and states.

    Of a decode step the caches that it reads, which hold its own entries, and the states that it leaves; of a
    prompt the caches and states that it leaves.
    """
    found = [*cache(cascade), *states(cascade)]
    made = _CACHE | {"H"}
    return tuple(dict.fromkeys((*found, *(tensor.name for tensor in cascade.outputs if tensor.name in made))))


def states(cascade: Cascade) -> tuple[str, ...]:
    """Inputs that earlier steps left and that don't grow: states of recurrences and convolutions."""
    return tuple(tensor.name for tensor in cascade.inputs if tensor.name in STATE)


def with_widths(
    cascade: Cascade, *, weight: int, activation: int, kv: int, other: int = 16, tables: Collection[str] = ()
) -> Cascade:
    """The cascade with widths in bits by role: matrices, cached entries, other weights, and all else.

    States are as wide as activations, matrices that are `tables` too as other weights.
    """
    width = {WEIGHTS: weight, KV: kv, OTHERS: other, ACTIVATIONS: activation}
    roles = roles_of(cascade) | dict.fromkeys(tables, OTHERS)
    tensors = tuple(msgspec.structs.replace(each, bits=width[roles[each.name]]) for each in cascade.tensors)
    return msgspec.structs.replace(cascade, tensors=tensors)


def pruned(cascade: Cascade, n: int, m: int) -> Cascade:
    """The cascade with `n` of every `m` values of its matrices left along a channel that they sum over: one
    whose rank stands alone wherever it is read, of a size that is whole groups. Other matrices stay dense.
    """
    along: dict[str, str] = {}
    for einsum in (one for one in cascade.einsums if one.contracts):
        indices = [index for read in einsum.reads for index in read.indices]
        alone = [
            rank for rank in einsum.reduced
            if cascade.size(rank) % m == 0 and all(at.plain == rank for at in indices if rank in at.ranks)
        ]  # fmt: skip
        for read in einsum.reads if alone else ():
            for name, at in zip(cascade.tensor(read.tensor).ranks, read.indices, strict=True):
                if at.plain == alone[0]:
                    along[read.tensor] = name
    tensors = tuple(
        msgspec.structs.replace(one, sparsity=NM(n, m, along[one.name]))
        if one.name in along and one.name in matrices(cascade) else one
        for one in cascade.tensors
    )  # fmt: skip
    return msgspec.structs.replace(cascade, tensors=tensors)


def roles_of(cascade: Cascade) -> dict[str, str]:
    """The role of every tensor: weights (matrices), kv (cached entries), others (gains, biases, tables),
    activations (all else).
    """
    learnt, narrow, outputs = (
        set(weights(cascade)),
        set(matrices(cascade)),
        {tensor.name for tensor in cascade.outputs},
    )
    stored = {*cache(cascade), *(outputs & (_CACHE | _ENTRIES))}

    def role(name: str) -> str:
        if name in learnt:
            return WEIGHTS if name in narrow else OTHERS
        return KV if name in stored else ACTIVATIONS

    return {each.name: role(each.name) for each in cascade.tensors}
