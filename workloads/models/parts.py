"""A network's parts for one step, each a cascade with a count; parameters and caches, counted from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import pairwise

import msgspec
from msgspec.structs import replace

from einsim.workloads.cascade import Cascade
from einsim.workloads.models import ends, mixture, roles
from einsim.workloads.models.cascades import layer_cascade
from einsim.workloads.models.network import LayerKind, Moe, Network, Quantization, SoftmaxAttention
from einsim.workloads.models.quantized import form_of, quantized
from einsim.workloads.models.step import Step


class ModelPart(msgspec.Struct, frozen=True, kw_only=True):
    """`count` equal pieces of a network: layers at `places`, or what stands before and after them.

    `weights`, `cache` and `states` are inputs of the cascade by their role. `whole` gives, for a weight of
    which a step reads only a part, the elements that there are: tables, whose rows are read, and experts, of
    which some are touched; 0 for one that is counted with another part, as a tied head. `chosen` are the
    elements of those that work for one token. `beside_bytes` are activations of other parts that are kept
    meanwhile for a later one, as of a skip connection. `tables` are matrices that are a table of words or
    positions too: stored once at the table's width, they are read at it. `note` is what a reader should know
    of its figures.
    """

    name: str
    cascade: Cascade
    count: int = 1
    places: tuple[int, ...] = ()
    weights: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    whole: Mapping[str, int] = {}
    chosen: Mapping[str, int] = {}
    beside_bytes: float = 0.0
    tables: tuple[str, ...] = ()
    note: str = ""

    @property
    def parameters(self) -> int:
        """Of all `count` pieces, whatever this step reads of them."""
        return self.count * sum(self.whole.get(name, self.cascade.elements(name)) for name in self.weights)

    @property
    def active_parameters(self) -> int:
        """Those that work for one token: all but the experts that aren't chosen for it."""
        idle = sum(self.whole[name] - chosen for name, chosen in self.chosen.items())
        return self.parameters - self.count * idle


def parts(network: Network, step: Step) -> tuple[ModelPart, ...]:
    """All parts of a step in their order. An encoder's are `parts(network.encoder, step)` of its own step.

    Of a prompt only the last token goes through the final norm and the head.
    """
    return tuple(_parts(network, step))


def _parts(network: Network, step: Step) -> Iterator[ModelPart]:
    hidden = network.hidden
    whole = ends.table_sizes(network.embedding, hidden)
    yield _part("embedding", ends.embedding(network.embedding, hidden, step), whole=whole)
    first = network.layers[0].mixer
    if network.buckets and isinstance(first, SoftmaxAttention):
        table = {"TAB": network.buckets * first.heads}
        yield _part("relative-positions", ends.relative_positions(first.heads, step), whole=table)
    for kind in network.kinds():
        yield from _layer_parts(kind, hidden, step)
    after = replace(step, tokens=1) if step.phase == "prefill" else step
    if network.norm:
        yield _part("final-norm", ends.final_norm(network.norm, hidden, after))
    if network.pool:
        yield _part("pool", ends.pool(network.pool, hidden, step))
    for block in network.projections:
        own = replace(after, tokens=1) if block.one_token else after
        part = _part(block.name, ends.projection(block, hidden, own), whole={"WH": 0} if block.tied else {})
        yield replace(part, tables=("WH",) if block.tied else ())


def _layer_parts(kind: LayerKind, hidden: int, step: Step) -> Iterator[ModelPart]:
    layer, name = kind.layer, f"layer {_ranges(kind.places)}"
    yield _part(name, layer_cascade(layer, hidden, step), kind.places)
    if isinstance(layer.mlp, Moe):
        experts = mixture.routed(layer.mlp, hidden, step)
        each = {w: experts.elements(w) // experts.size("x") for w in roles.weights(experts)}
        whole = {weight: size * layer.mlp.experts for weight, size in each.items()}
        chosen = {weight: size * layer.mlp.per_token for weight, size in each.items()}
        found = mixture.routing(layer.mlp, step)
        shown = f"{found.expected:.6g}"
        mean = "" if shown == f"{found.experts}" else f" ({shown} on average)"
        note = f"{found.experts} of {layer.mlp.experts} experts are touched{mean}, {found.places:,} times"
        yield replace(_part(f"{name} experts", experts, kind.places, whole, chosen), note=note)
        yield _part(f"{name} combine", mixture.combined(layer.mlp, hidden, step), kind.places)


def _part(
    name: str, cascade: Cascade, places: tuple[int, ...] = (),
    whole: Mapping[str, int] | None = None, chosen: Mapping[str, int] | None = None,
) -> ModelPart:  # fmt: skip
    return ModelPart(
        name=name, cascade=cascade, count=len(places) or 1, places=places, weights=roles.weights(cascade),
        cache=roles.cache(cascade), states=roles.states(cascade), whole=whole or {}, chosen=chosen or {},
    )  # fmt: skip


def _ranges(places: tuple[int, ...]) -> str:
    """0-3, 5, 7: runs of numbers; 1-7 by 2: those of one distance."""
    steps = {after - before for before, after in pairwise(places)}
    if len(places) > 2 and len(steps) == 1 and steps != {1}:
        return f"{places[0]}-{places[-1]} by {steps.pop()}"
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def parameters(network: Network) -> int:
    """All weights, the encoder's included, counted from the cascades' own tensors and the tables."""
    own = sum(part.parameters for part in parts(network, _one_token(network)))
    return own + (parameters(network.encoder) if network.encoder else 0)


def active_parameters(network: Network) -> int:
    """Weights that work for one token: of experts, those that are chosen for it."""
    own = sum(part.active_parameters for part in parts(network, _one_token(network)))
    return own + (active_parameters(network.encoder) if network.encoder else 0)


def weight_bytes(network: Network, given: Quantization | None = None, other: int = 16) -> float:
    """All weights, matrices as is given or else as the file stores them, the others in `other` bits.

    Counted from the cascades as they are read, scales and zero points with them.
    """
    own = sum(
        _stored_bits(part, form_of(given, network.quantization, bool(part.places), bool(part.chosen)), other)
        for part in parts(network, _one_token(network))
    )
    return own / 8 + (weight_bytes(network.encoder, given, other) if network.encoder else 0)


def _stored_bits(part: ModelPart, form: Quantization | None, other: int) -> float:
    """Bits of a part's weights; of experts each has its own scales and zero points."""
    cascade = roles.with_widths(part.cascade, weight=other, activation=other, kv=other, other=other)
    cascade = quantized(cascade, form, part.tables) if form else cascade
    bits = Fraction(0)
    for name in roles.weights(cascade):
        scaled = name if name in part.weights else name[2:]
        read = part.cascade.elements(scaled)
        share = Fraction(part.whole.get(scaled, read), read)
        bits += share * cascade.elements(name) * cascade.tensor(name).bits
    return float(part.count * bits)


def kv_bytes_per_token(network: Network, bits: int = 16) -> float:
    """What one more token adds to the caches of all layers, before any window is full; 0 for an encoder."""
    own = ("K", "V", "LAT", "KR")
    return sum(elements for name, elements in _kept(network) if name in own) * bits / 8


def state_bytes(network: Network, bits: int = 16) -> float:
    """States of a sequence that don't grow with its tokens."""
    return sum(elements for name, elements in _kept(network) if name in roles.STATE) * bits / 8


def _kept(network: Network) -> Iterator[tuple[str, int]]:
    """What a decode step of a first token reads of a sequence, by name, of each part all pieces."""
    if network.decodes:
        for part in parts(network, Step(phase="decode", tokens=1, source=1)):
            for name in (*part.cache, *part.states):
                yield name, part.count * part.cascade.elements(name)


def _one_token(network: Network) -> Step:
    """A step in which every weight is read."""
    return Step(phase="prefill" if network.decodes else "encode", tokens=1, source=1)
