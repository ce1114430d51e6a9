"""FLAT's mapping of 3-pass attention: contractions and softmax fused over blocks of queries.

Source: Kao et al., FLAT, ASPLOS 2023, as modelled in the artifact of FuseMax (MICRO 2024). A row block of
QK (or a whole head of it) stays in the buffer, softmax works on it in place, and what overflows is spilled.
Operands that aren't resident stream from DRAM for every tile of the array.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from einsim.accel.machine import Machine, Unit
from einsim.dataflow.held import held_bytes
from einsim.dataflow.layout import lay_out
from einsim.dataflow.mapping import Compute, Mapping, Node, Pipeline, chain, keep
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade
from einsim.workloads.recognised import Attention, attentions


class FlatChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What FLAT's own search decides.

    `rows` queries in a block (0: the whole head), the operands `resident` for a block, whether QK and A stay
    on chip, and the order of the inner loops ("output": keys inside queries; "weight": queries inside keys,
    so that K and V are read once a block). `spill` is the share of the block that overflows, where it was
    published; else it follows from the buffer's size.
    """

    rows: int = 0
    resident: tuple[str, ...] = ()
    on_chip: bool = True
    stationarity: Literal["output", "weight"] = "output"
    spill: float | None = None


def default_choice(one: Attention, machine: Machine) -> FlatChoice:
    """The rule that the published choices follow: a head while its QK fits, then the largest block of at most
    four array widths, then everything through DRAM once even a single array width overflows twice.
    """
    capacity = machine.memory(machine.matrix_units[0].memories["inputs"]).capacity_bytes or 2**62
    width = machine.matrix_units[0].dims["cols"]
    row = one.size("m") * max(1, one.cascade.tensor(one.tensor("QK")).bits // 8)
    if row * one.size("p") <= capacity:
        return FlatChoice()
    if row * width > 2 * capacity:
        return FlatChoice(rows=4 * width, resident=("Q", "AV"), on_chip=False, stationarity="weight")
    rows = 4 * width
    while rows > width and rows * row > capacity:
        rows //= 2
    return FlatChoice(rows=rows)


def choices(one: Attention, machine: Machine) -> tuple[FlatChoice, ...]:
    """A whole head, blocks of two array widths and more by powers of two, and through DRAM.

    A block of one width has nothing to overlap with.
    """
    width = machine.matrix_units[0].dims["cols"]
    blocks = (width << shift for shift in range(1, max(0, (one.size("p") - 1) // width).bit_length()))
    through = FlatChoice(rows=4 * width, resident=("Q", "AV"), on_chip=False, stationarity="weight")
    return (FlatChoice(), *(FlatChoice(rows=rows) for rows in blocks), through)


def flat(
    cascade: Cascade, machine: Machine, choice: FlatChoice | None = None, *, one: Attention | None = None
) -> Mapping:
    """The mapping of `one` attention of the cascade, or its first, for a choice or for the default rule's;
    EinsimError where there is no 3-pass attention.
    """
    one = one or next(iter(attentions(cascade, 3)), None)
    if one is None:
        raise EinsimError(
            f"mapping template flat: needs the 3-pass attention cascade (got {cascade.name}); set passes=3"
        )
    return _Flat(one, machine, choice or default_choice(one, machine)).build()


class _Flat:
    def __init__(self, one: Attention, machine: Machine, choice: FlatChoice) -> None:
        self.one = one
        self.cascade = one.cascade
        self.machine = machine
        self.choice = choice
        self.matrix: Unit = machine.matrix_units[0]
        self.vector: Unit = machine.vector_units[0]
        self.buffer = self.matrix.memories["inputs"]
        self.keys, self.queries = one.size("m"), one.size("p")
        self.width = min(self.matrix.dims["cols"], self.queries)
        self.block = min(self.matrix.dims["rows"], self.keys)
        self.rows = min(choice.rows or self.queries, self.queries)
        self.lanes = next(iter(self.vector.dims))
        self.stream_buffers = self.output_buffers = 2

    def build(self) -> Mapping:
        """Double buffers where they fit beside the block, single ones where the published share leaves
        little room, and the share that fits where it leaves none.
        """
        capacity = self.machine.memory(self.buffer).capacity_bytes or 2**62
        for choice in (self.choice, msgspec.structs.replace(self.choice, spill=None)):
            self.choice = choice
            for self.stream_buffers, self.output_buffers in ((2, 2), (2, 1), (1, 1)):
                mapping = self._build()
                if self._held(mapping) <= capacity:
                    return mapping
        return mapping

    def _held(self, mapping: Mapping) -> int:
        layout = lay_out(mapping, self.cascade)
        return held_bytes(mapping, layout, self.cascade, self.machine).get(self.buffer, 0)

    def _build(self) -> Mapping:
        spill = self._spill() if self.choice.on_chip else 0.0
        body = self._fused() if self.choice.on_chip else self._through_dram()
        notes = (
            (f"{100 * spill:.2f} % of QK, SN, A and of what is kept beside them is spilled to DRAM",)
            if spill
            else ()
        )
        tree = chain(
            *((rank, 1) for rank in self.one.heads),
            self._over_queries(self.rows) if self.rows < self.queries else None,
            keep(
                tuple(self.one.tensor(name) for name in self.choice.resident if name in ("Q", "K", "V")),
                self.buffer,
                buffers=self.stream_buffers,
                spill=spill,
            ),
            keep(
                tuple(self.one.tensor(name) for name in self.choice.resident if name == "AV"),
                self.buffer,
                buffers=self.output_buffers,
            ),
            self._keep("QK SN A", buffers=1, overlay=True, spill=spill) if self.choice.on_chip else None,
            body,
        )
        return Mapping(
            cascade=self.cascade.name, machine=self.machine.name, template="flat", tree=tree, notes=notes
        )

    def _compute(self, einsum: str) -> Compute:
        name, keys = self.one.tensor(einsum), (self.one.rank("m"),)
        if einsum in ("QK", "AV"):
            spatial: dict[str, tuple[str, ...]] = {"rows": keys}
            if self.one.rank("p"):
                spatial["cols"] = (self.one.rank("p"),)
            return Compute(einsum=name, unit=self.matrix.name, spatial=spatial)
        chained = self.one.tensors("SN") if einsum == "SD" else ()
        return Compute(einsum=name, unit=self.vector.name, spatial={self.lanes: keys}, chained=chained)

    def _over_queries(self, tile: int) -> tuple[str, int] | None:
        return (self.one.rank("p"), tile) if self.one.rank("p") else None

    def _keep(
        self, tensors: str, buffers: int = 2, *, overlay: bool = False, spill: float = 0.0
    ) -> Node | None:
        names = self.one.tensors(tensors)
        return keep(names, self.buffer, buffers=buffers, overlay=overlay, spill=spill)

    def _streams(self, tensors: str) -> Node | None:
        names = (name for name in tensors.split() if name not in self.choice.resident)
        return self._keep(" ".join(names), self.stream_buffers)

    def _fused(self) -> Node:
        """All six Einsums over one block: tiles of keys move from the array to the vector unit and back."""

        def stage(*einsums: str) -> Node:
            nodes = tuple(self._compute(name) for name in einsums)
            body: Node = nodes[0] if len(nodes) == 1 else Pipeline(children=nodes)
            streams = {"QK": "Q K", "AV": "V"}.get(einsums[0], "")
            tile = (self.one.rank("m"), self.block)
            return chain(tile, self._streams(streams) if streams else None, body)

        output = None if "AV" in self.choice.resident else self._keep("AV", self.output_buffers)
        stages = (stage("QK"), stage("GM"), stage("SN", "SD"), stage("A"), chain(output, stage("AV")))
        return chain(self._over_queries(self.width), self._keep("GM SD"), Pipeline(children=stages))

    def _through_dram(self) -> Node:
        """QK and A go through DRAM; K and V are read once for a block of queries.

        Tiles of QK and of A take a quarter of the buffer each, double-buffered, and so do rows of softmax.
        """
        capacity = self.machine.memory(self.buffer).capacity_bytes or 2**62
        value = max(1, self.cascade.tensor(self.one.tensor("QK")).bits // 8)
        keys = self.block
        while 2 * keys <= self.keys and 16 * keys * self.rows * value <= capacity:
            keys *= 2
        rows = self.width
        while rows > 1 and 8 * rows * self.keys * value > capacity:
            rows //= 2
        tile = (self.one.rank("m"), keys)
        qk = chain(tile, self._streams("K"), self._keep("QK"), self._compute("QK"))
        av = chain(tile, self._streams("V"), self._keep("A"), self._compute("AV"))
        softmax = chain(
            self._over_queries(rows),
            self._keep("QK SN A", buffers=3, overlay=True),
            self._keep("GM SD"),
            Pipeline(children=tuple(self._compute(name) for name in ("GM", "SN", "SD", "A"))),
        )
        through = keep(self.one.tensors("QK A"), self.machine.dram.name)
        return chain(through, Pipeline(children=(qk, softmax, av)))

    def _spill(self) -> float:
        """Share of the block that doesn't fit beside two tiles of every stream and the resident blocks."""
        if self.choice.spill is not None:
            return self.choice.spill
        one = self.one
        capacity = self.machine.memory(self.buffer).capacity_bytes
        if capacity is None:
            return 0.0
        value = max(1, self.cascade.tensor(one.tensor("QK")).bits // 8)
        block = self.rows * self.keys * value
        need = block + 2 * 2 * self.width * value  # GM and SD, two tiles each
        for name, inner in zip(("Q", "K", "V", "AV"), map(one.size, "eeff"), strict=True):
            long = self.width
            if name in self.choice.resident:
                long = self.rows if name in ("Q", "AV") else self.keys
            need += 2 * long * inner * value
        return max(0.0, (need - capacity) / block)
