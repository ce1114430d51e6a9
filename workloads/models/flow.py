"""What passes from part to part in a step: the values that one part leaves and later ones read.

Parts are run piece by piece: equal layers stand at several places, and each reads what the one before made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count

import msgspec

from einsim.workloads.models.parts import ModelPart

OUTSIDE = -1
"""The value of what must be in DRAM: a model's inputs and outputs."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the part at a place of a phase's parts.

    `takes` gives for an input the values that it is made of, which several may be (a concatenation), or
    more than it reads (a slice); `makes` the value that a result is. Values are numbers, the same through
    all pieces. What is in neither passes through DRAM.
    """

    part: int
    takes: Mapping[str, tuple[int, ...]] = {}
    makes: Mapping[str, int] = {}


Flow = Callable[[Sequence[ModelPart]], tuple[Piece, ...]]
"""The pieces of a step, in the order in which they run, from its parts."""


def layers_flow(parts: Sequence[ModelPart]) -> tuple[Piece, ...]:
    """Of a network of layers: tokens go through all, and a bias by distance to every layer.

    Around experts the residual does; rows that are sent to experts and back are copies, and pass through
    DRAM. So do caches, an encoder's tokens and what the model leaves, as all tokens beside a pooler of one.
    """
    numbers = count()
    tokens: tuple[int, ...] = ()
    distances: int | None = None
    size, found = 0, []
    for at in _order(parts):
        part = parts[at]
        inputs = {tensor.name for tensor in part.cascade.inputs}
        outputs = {tensor.name for tensor in part.cascade.outputs}
        takes: dict[str, tuple[int, ...]] = {}
        projects = not part.places and "WH" in inputs
        if "X" in inputs and tokens and not (projects and part.cascade.elements("X") < size):
            takes["X"] = tokens
        if part.name.endswith("pool") and "U" in inputs and tokens:
            takes["U"] = tokens
        if distances is not None and "REL" in inputs:
            takes["REL"] = (distances,)
        left: list[str] = next(([name] for name in ("Y", "R2", "R1") if name in outputs), [])
        if not part.places and "X" in outputs:  # an embedding's, with special tokens beside
            left = [name for name in ("X", "XT") if name in outputs]
        makes = {name: next(numbers) for name in left}
        if makes and not projects:  # heads stand beside each other
            tokens = tuple(makes.values())
            size = sum(part.cascade.elements(name) for name in makes)
        if "REL" in outputs:
            distances = makes["REL"] = next(numbers)
        found.append(Piece(part=at, takes=takes, makes=makes))
    return tuple(found)


def _order(parts: Sequence[ModelPart]) -> list[int]:
    """Places of the parts as they run: before the layers, layer by layer, and after."""
    layered = [at for at, part in enumerate(parts) if part.places]
    if not layered:
        return list(range(len(parts)))
    every = sorted((place, at) for at in layered for place in parts[at].places)
    before, after = range(layered[0]), range(layered[-1] + 1, len(parts))
    return [*before, *(at for _, at in every), *after]
