"""FLAT's mapping of 3-pass attention: contractions and softmax fused over blocks of queries.

Source: Kao et al., FLAT, ASPLOS 2023, as modelled in the artifact of FuseMax (MICRO 2024). One head at a
time, rows of QK stay in the buffer, softmax works on them in place, and the least share that overflows is
spilled; or QK and A go through DRAM. Contractions run on the matrix array, keys along its rows and queries
along its columns, softmax and what changes scores or denominators, such as a bias, on the vector unit.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.held import held_bytes, home_bytes
from einsim.dataflow.layout import Layout, lay_out
from einsim.dataflow.mapping import Compute, Mapping, Node, Pipeline, chain, keep
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade
from einsim.workloads.recognised import Attention, attentions

#: For a head, for a block, for a tile's queries, or with each tile.
Stay = Literal["head", "block", "row", "tile"]

#: Notches of the share that is spilled: what they multiply stays exact.
NOTCHES = 2**24


class FlatChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is open: `rows` queries in a block (0: the whole head), `width` queries and `keys` in a tile (0:
    as many as the array is wide and high), the rank along the vector unit's `lanes`, how long each operand
    stays, the `blocks` that are there at once; or the queries of a block of which QK and A go `through` DRAM.
    """

    rows: int = 0
    width: int = 0
    keys: int = 0
    lanes: Literal["m", "p"] = "m"
    q: Stay = "tile"
    k: Stay = "tile"
    v: Stay = "tile"
    av: Stay = "row"
    blocks: int = 1
    through: int = 0


def default_choice(one: Attention, machine: Machine) -> FlatChoice:
    """The rule that the published choices follow: a head while its QK fits, then the largest block of at most
    four array widths, then everything through DRAM once even a single array width overflows twice.
    """
    capacity = _capacity(machine)
    width = machine.matrix_units[0].dims["cols"]
    row = one.size("m") * _value_bytes(one)
    if row * one.size("p") <= capacity:
        return FlatChoice()
    through = 4 * width if width * row > 2 * capacity else 0
    rows = 4 * width
    while rows > (1 if through else width) and rows * row > capacity:
        rows //= 2
    return FlatChoice(rows=rows, through=through)


def listed(one: Attention, machine: Machine) -> tuple[FlatChoice, ...]:
    """A whole head, blocks of two array widths and more by powers of two, and through DRAM.

    A block of one width has nothing to overlap with.
    """
    width = machine.matrix_units[0].dims["cols"]
    blocks = (width << shift for shift in range(1, max(0, (one.size("p") - 1) // width).bit_length()))
    return (FlatChoice(), *(FlatChoice(rows=rows) for rows in blocks), FlatChoice(through=4 * width))


def menus(cascade: Cascade, machine: Machine) -> dict[str, tuple[int | str, ...]]:
    """Values of a choice to look through: all but those of which another moves less and holds no more."""
    one = _found(cascade, machine, None)
    cols, down = (machine.matrix_units[0].dims[dim] for dim in ("cols", "rows"))
    queries, all_keys = one.size("p"), one.size("m")
    doubled = tuple(cols << shift for shift in range(1, (queries // cols).bit_length()))
    halved = tuple(cols >> shift for shift in range(cols.bit_length()))
    return {
        "q": ("row",),
        "rows": (0, *(rows for rows in (*halved, *doubled) if rows < queries)),
        "through": (0, *(rows for rows in doubled if rows < queries), queries),
        "k": ("tile", "block", "head"),
        "v": ("tile", "block", "head"),
        "width": (0, 2 * cols, *halved[1:]),
        "keys": (0, *(down << shift for shift in range(1, (all_keys // down).bit_length()))),
        "lanes": ("m", "p"),
        "blocks": (1, 2),
    }


def _found(cascade: Cascade, machine: Machine, one: Attention | None) -> Attention:
    one = one or next(iter(attentions(cascade, 3)), None)
    what = "mapping template flat: needs"
    if one is None:
        raise EinsimError(f"{what} the 3-pass attention cascade (got {cascade.name}); set passes=3")
    units = machine.matrix_units
    if not units or not machine.vector_units or not {"rows", "cols"} <= set(units[0].dims):
        raise EinsimError(f"{what} an array and a vector unit (got {machine.name})")
    return one


def flat(cascade: Cascade, machine: Machine, *, one: Attention | None = None, **choice: int | str) -> Mapping:
    """The mapping of `one` attention of the cascade, or its first, for a choice, by FlatChoice's fields; what
    is not said is the default rule's. EinsimError where there is no 3-pass attention, or no array and vector
    unit.
    """
    one = _found(cascade, machine, one)
    chosen = msgspec.structs.replace(default_choice(one, machine), **choice)
    made = _Flat(one, machine, chosen)
    whole = made.mapping()
    layout = lay_out(whole, cascade)
    over = _over(whole, layout, cascade, machine)
    if over <= 0:
        return whole
    if chosen.through:  # single buffers where there is no room for two
        made.buffers = {"AV": 1}
        less = made.mapping()
        if _over(less, lay_out(less, cascade), cascade, machine) > 0:
            made.buffers = dict.fromkeys(("Q", "K", "V", "AV"), 1)
        return made.mapping()
    shared = [(home, path) for home, path in layout.homes if home.overlay]
    size = max(home_bytes(*one, layout, cascade, machine) for one in shared)
    again = any(layout.loops[loop].count > 1 for loop in shared[0][1])
    return made.mapping(least_share(over, size, shared[0][0].buffers if again else 1))


def least_share(over: int, size: int, buffers: int) -> float:
    """The least share of so many buffers, of `size` bytes together, that leaves room for what is `over`; 0
    where all of them would not.
    """
    share = -(-(-(-over // buffers) * buffers * NOTCHES) // size) / NOTCHES
    return share if share < 1 else 0.0


def _over(mapping: Mapping, layout: Layout, cascade: Cascade, machine: Machine) -> int:
    """Bytes that a mapping holds in the array's memory beyond its room."""
    held = held_bytes(mapping, layout, cascade, machine)
    return held.get(machine.matrix_units[0].memories["inputs"], 0) - _capacity(machine)


def _capacity(machine: Machine) -> int:
    return machine.memory(machine.matrix_units[0].memories["inputs"]).capacity_bytes or 2**62


def _value_bytes(one: Attention) -> int:
    return max(1, one.cascade.tensor(one.tensor("QK")).bits // 8)


class _Flat:
    """The tree of a choice, for shares that are spilled."""

    def __init__(self, one: Attention, machine: Machine, choice: FlatChoice) -> None:
        self.one, self.cascade, self.machine, self.choice = one, one.cascade, machine, choice
        self.matrix, self.vector = machine.matrix_units[0], machine.vector_units[0]
        self.buffer = self.matrix.memories["inputs"]
        self.buffers: dict[str, int] = {}  # of an operand's tiles, 2 where it isn't said
        self.queries = one.size("p")
        self.rows = min(choice.through or choice.rows or self.queries, self.queries)
        self.width = min(choice.width or self.matrix.dims["cols"], self.rows)
        self.keys = min(choice.keys or self.matrix.dims["rows"], one.size("m"))
        self.besides = {wide: one.besides(wide=wide) for wide in (False, True)}

    def mapping(self, spill: float = 0.0) -> Mapping:
        """The mapping, with a share of what overflows spilled."""
        block = chain(
            self._keep("QK SN A", buffers=self.choice.blocks, overlay=True, spill=spill), self._fused()
        )
        tree = chain(
            *((rank, 1) for rank in self.one.heads),
            *self._staying("head"),
            keep(self.besides[False], self.buffer),
            self._over_queries(self.rows) if self.rows < self.queries else None,
            *self._staying("block"),
            self._through_dram() if self.choice.through else block,
        )
        what = f"{100 * spill:.2f} % of QK, SN and A is spilled to DRAM"
        return Mapping(
            cascade=self.cascade.name, machine=self.machine.name, template="flat", tree=tree,
            notes=(what,) if spill else (),
        )  # fmt: skip

    def _changes(self, einsum: str) -> list[Compute]:
        """What changes an Einsum's result, each as the one before makes it."""
        made: list[Compute] = []
        lane = next(iter(self.vector.dims))
        for name in self.one.changes.get(einsum, ()):
            spatial = self._along({lane: self.choice.lanes if einsum == "QK" else "p"})
            before = (made[-1].einsum,) if made else ()
            made.append(Compute(einsum=name, unit=self.vector.name, spatial=spatial, chained=before))
        return made

    def _compute(self, einsum: str) -> Compute:
        """An Einsum on its unit."""
        name = self.one.tensor(einsum)
        if einsum in ("QK", "AV"):
            spatial = self._along({"rows": "m", "cols": "p"})
            return Compute(einsum=name, unit=self.matrix.name, spatial=spatial)
        chained = {"SD": self.one.tensors("SN"), "GM": self.one.changes.get("QK", ())[-1:]}.get(einsum, ())
        spatial = self._along({next(iter(self.vector.dims)): self.choice.lanes})
        return Compute(einsum=name, unit=self.vector.name, spatial=spatial, chained=chained)

    def _along(self, ranks: dict[str, str]) -> dict[str, tuple[str, ...]]:
        """Ranks along dimensions; there may be none for a single query."""
        return {dim: (own,) for dim, rank in ranks.items() if (own := self.one.rank(rank))}

    def _over_queries(self, tile: int) -> tuple[str, int] | None:
        return (self.one.rank("p"), tile) if self.one.rank("p") else None

    def _keep(
        self, tensors: str, buffers: int = 2, *, overlay: bool = False, spill: float = 0.0
    ) -> Node | None:
        names = self.one.changed(tensors)
        return keep(names, self.buffer, buffers=buffers, overlay=overlay, spill=spill)

    def _staying(self, stay: Stay, tensors: str = "Q K V AV") -> list[Node | None]:
        """Keeps of those operands that stay so long."""
        names = [name for name in tensors.split() if getattr(self.choice, name.lower()) == stay]
        by_count = ((n, " ".join(one for one in names if self.buffers.get(one, 2) == n)) for n in (2, 1))
        return [self._keep(some, count) for count, some in by_count]

    def _over_keys(self, tensors: str, *nodes: Compute, besides: tuple[str, ...] = ()) -> Node:
        """Einsums tile by tile of keys, with operands that come with each."""
        return chain(
            (self.one.rank("m"), self.keys),
            *self._staying("tile", tensors),
            keep(besides, self.buffer),
            nodes[0] if len(nodes) == 1 else Pipeline(children=nodes),
        )

    def _fused(self) -> Node:
        """All Einsums over one block: tiles of keys move from the array to the vector unit and back."""
        one = self._compute
        stages = (
            self._over_keys("Q K", one("QK")),
            self._over_keys("", *self._changes("QK"), one("GM"), besides=self.besides[True]),
            *self._changes("GM"),
            self._over_keys("", one("SN"), one("SD")),
            *self._changes("SD"),
            self._over_keys("", one("A")),
            chain(*self._staying("row", "AV"), self._over_keys("V", one("AV"))),
        )
        return chain(
            self._over_queries(self.width),
            *self._staying("row", "Q"),
            self._keep("GM SD"),
            Pipeline(children=stages),
        )

    def _through_dram(self) -> Node:
        """QK and A go through DRAM; K and V are read once for a block of queries, which stay.

        Tiles of QK and of A take a quarter of the buffer each, double-buffered, and so do rows of softmax.
        """
        capacity, value, all_keys = _capacity(self.machine), _value_bytes(self.one), self.one.size("m")
        keys, rows = self.keys, self.width
        while not self.choice.keys and 2 * keys <= all_keys and 16 * keys * self.rows * value <= capacity:
            keys *= 2
        while not self.choice.width and rows > 1 and 8 * rows * all_keys * value > capacity:
            rows //= 2
        rest = (n for name in ("GM", "SN", "SD", "A") for n in (self._compute(name), *self._changes(name)))
        softmax = chain(
            self._over_queries(rows),
            self._keep("QK SN A", buffers=3, overlay=True),
            self._keep("GM SD"),
            keep(self.besides[True], self.buffer),
            Pipeline(children=(*self._changes("QK"), *rest)),
        )
        m = (self.one.rank("m"), keys)
        qk = chain(
            m, *self._staying("tile", "K"), keep(self.one.tensors("QK"), self.buffer), self._compute("QK")
        )
        av = chain(m, *self._staying("tile", "V"), self._keep("A"), self._compute("AV"))
        through = keep(self.one.tensors("QK A"), self.machine.dram.name)
        return chain(
            *self._staying("tile", "Q"),
            *self._staying("row", "Q AV"),
            through,
            Pipeline(children=(qk, softmax, av)),
        )
