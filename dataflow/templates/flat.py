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
from einsim.dataflow.templates.sizes import outer_ranks
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade


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


def default_choice(cascade: Cascade, machine: Machine) -> FlatChoice:
    """The rule that the published choices follow: a head while its QK fits, then the largest block of at most
    four array widths, then everything through DRAM once even a single array width overflows twice.
    """
    capacity = machine.memory(machine.matrix_units[0].reads_from).capacity_bytes or 2**62
    width = machine.matrix_units[0].dims["cols"]
    row = cascade.size("m") * max(1, cascade.tensor("QK").bits // 8)
    if row * cascade.size("p") <= capacity:
        return FlatChoice()
    if row * width > 2 * capacity:
        return FlatChoice(rows=4 * width, resident=("Q", "AV"), on_chip=False, stationarity="weight")
    rows = 4 * width
    while rows > width and rows * row > capacity:
        rows //= 2
    return FlatChoice(rows=rows)


def flat(cascade: Cascade, machine: Machine, choice: FlatChoice | None = None) -> Mapping:
    """The mapping for a choice, or for the default rule's; EinsimError unless it is 3-pass attention."""
    missing = [name for name in ("QK", "GM", "SN", "SD", "A", "AV") if cascade.producer(name) is None]
    if missing:
        raise EinsimError(
            f"mapping template flat: needs the 3-pass attention cascade (got {cascade.name}); set passes=3"
        )
    chosen = choice or default_choice(cascade, machine)
    return _Flat(cascade, machine, chosen).build()


class _Flat:
    def __init__(self, cascade: Cascade, machine: Machine, choice: FlatChoice) -> None:
        self.cascade = cascade
        self.machine = machine
        self.choice = choice
        self.matrix: Unit = machine.matrix_units[0]
        self.vector: Unit = machine.vector_units[0]
        self.buffer = self.matrix.reads_from
        self.width = min(self.matrix.dims["cols"], cascade.size("p"))
        self.block = min(self.matrix.dims["rows"], cascade.size("m"))
        self.rows = min(choice.rows or cascade.size("p"), cascade.size("p"))
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
        tensors = ("QK", "SN", "A")
        spill = self._spill() if self.choice.on_chip else 0.0
        body = self._fused() if self.choice.on_chip else self._through_dram()
        notes = (
            (f"{100 * spill:.2f} % of QK, SN, A and of what is kept beside them is spilled to DRAM",)
            if spill
            else ()
        )
        tree = chain(
            *((rank, 1) for rank in outer_ranks(self.cascade, "AV", ("f", "p"))),
            ("p", self.rows) if self.rows < self.cascade.size("p") else None,
            keep(
                tuple(name for name in self.choice.resident if name in ("Q", "K", "V")),
                self.buffer,
                buffers=self.stream_buffers,
                spill=spill,
            ),
            keep(
                tuple(name for name in self.choice.resident if name == "AV"),
                self.buffer,
                buffers=self.output_buffers,
            ),
            keep(tensors, self.buffer, buffers=1, overlay=True, spill=spill) if self.choice.on_chip else None,
            body,
        )
        return Mapping(
            cascade=self.cascade.name, machine=self.machine.name, template="flat", tree=tree, notes=notes
        )

    def _compute(self, einsum: str) -> Compute:
        if einsum in ("QK", "AV"):
            spatial: dict[str, tuple[str, ...]] = {"rows": ("m",), "cols": ("p",)}
            return Compute(einsum=einsum, unit=self.matrix.name, spatial=spatial)
        chained = ("SN",) if einsum == "SD" else ()
        return Compute(einsum=einsum, unit=self.vector.name, spatial={self.lanes: ("m",)}, chained=chained)

    def _streams(self, tensors: str) -> Node | None:
        names = tuple(name for name in tensors.split() if name not in self.choice.resident)
        return keep(names, self.buffer, buffers=self.stream_buffers)

    def _fused(self) -> Node:
        """All six Einsums over one block: tiles of keys move from the array to the vector unit and back."""

        def stage(*einsums: str) -> Node:
            nodes = tuple(self._compute(name) for name in einsums)
            body: Node = nodes[0] if len(nodes) == 1 else Pipeline(children=nodes)
            streams = {"QK": "Q K", "AV": "V"}.get(einsums[0], "")
            return chain(("m", self.block), self._streams(streams) if streams else None, body)

        output = (
            None if "AV" in self.choice.resident else keep("AV", self.buffer, buffers=self.output_buffers)
        )
        stages = (stage("QK"), stage("GM"), stage("SN", "SD"), stage("A"), chain(output, stage("AV")))
        return chain(("p", self.width), keep("GM SD", self.buffer), Pipeline(children=stages))

    def _through_dram(self) -> Node:
        """QK and A go through DRAM; K and V are read once for a block of queries.

        Tiles of QK and of A take a quarter of the buffer each, double-buffered, and so do rows of softmax.
        """
        cascade = self.cascade
        capacity = self.machine.memory(self.buffer).capacity_bytes or 2**62
        value = max(1, cascade.tensor("QK").bits // 8)
        keys = self.block
        while 2 * keys <= cascade.size("m") and 16 * keys * self.rows * value <= capacity:
            keys *= 2
        rows = self.width
        while rows > 1 and 8 * rows * cascade.size("m") * value > capacity:
            rows //= 2
        qk = chain(("m", keys), self._streams("K"), keep("QK", self.buffer), self._compute("QK"))
        av = chain(("m", keys), self._streams("V"), keep("A", self.buffer), self._compute("AV"))
        softmax = chain(
            ("p", rows),
            keep("QK SN A", self.buffer, buffers=3, overlay=True),
            keep("GM SD", self.buffer),
            Pipeline(children=tuple(self._compute(name) for name in ("GM", "SN", "SD", "A"))),
        )
        return chain(keep("QK A", self.machine.dram.name), Pipeline(children=(qk, softmax, av)))

    def _spill(self) -> float:
        """Share of the block that doesn't fit beside two tiles of every stream and the resident blocks."""
        if self.choice.spill is not None:
            return self.choice.spill
        cascade = self.cascade
        capacity = self.machine.memory(self.buffer).capacity_bytes
        if capacity is None:
            return 0.0
        value = max(1, cascade.tensor("QK").bits // 8)
        block = self.rows * cascade.size("m") * value
        need = block + 2 * 2 * self.width * value  # GM and SD, two tiles each
        depth = {
            "Q": cascade.size("e"),
            "K": cascade.size("e"),
            "V": cascade.size("f"),
            "AV": cascade.size("f"),
        }
        for name, inner in depth.items():
            long = self.width
            if name in self.choice.resident:
                long = self.rows if name in ("Q", "AV") else cascade.size("m")
            need += 2 * long * inner * value
        return max(0.0, (need - capacity) / block)
