"""The YAML form of a mapping: read strictly, checked against cascade and machine, and written.

mapping:
  cascade: my-attention          # optional, as are machine, template and notes
  tree:
    - {for: b, tile: 1}
    - {keep: [Q, K], in: gb, buffers: 2}          # optional: buffers, overlay, spill, stays
    - pipeline:                                   # or sequence; its children are items or lists of items
        - - {for: m, tile: 4K}
          - {compute: QK, on: array2d, spatial: {rows: m, cols: [b, p]}}  # optional: chained, stationarity
        - {compute: GM, on: array1d}

A list is a chain: each `for` and `keep` wraps what follows it, and a compute, pipeline or sequence ends it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from einsim.accel.machine import Machine
from einsim.dataflow.dealt import Deal, check_deal
from einsim.dataflow.legality import check
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, Pipeline, Sequence
from einsim.dataflow.sites import DEEPEST, Place, Sites
from einsim.specs.document import Document
from einsim.specs.document import Path as Keys
from einsim.specs.errors import SpecError, dotted
from einsim.specs.loader import decode, load_yaml
from einsim.specs.near import near
from einsim.workloads.cascade import Cascade
from einsim.workloads.settings import Size, read_size

KINDS = ("for", "keep", "compute", "pipeline", "sequence")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_RESERVED = {"null", "true", "false"}


Body = Annotated[list[Any] | dict[str, Any], Meta(extra_json_schema={"$ref": "#/definitions/body"})]
Children = Annotated[
    list[Any], Meta(extra_json_schema={"minItems": 1, "items": {"$ref": "#/definitions/body"}})
]
"""What the reader below reads item by item, and a schema knows by name."""


class DealItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{tiles: {m: 128, n: 128}, through: l2}`: blocks of the tree, dealt to cores."""

    tiles: Annotated[dict[str, Size], Meta(min_length=1)]
    """Points of each rank that is dealt in a block; the last rank is the fastest."""
    through: str
    """The memory that all cores share, which what blocks read and write passes."""
    slots: Annotated[int, Meta(ge=1, le=1024)] = 1
    """Blocks that a core holds at once."""
    together: Annotated[int, Meta(ge=1, le=65536)] = 1
    """Tiles of the first rank that are walked before the next of the others."""


class MappingFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys below `mapping:`."""

    tree: Body
    """The tree: a chain of items, or one item."""
    deal: DealItem | None = None
    """How blocks of the cascade, each computed by one core by the tree, are dealt to cores."""
    cascade: str = ""
    """The cascade that it is for; refused for another one."""
    machine: str = ""
    """The machine that it is for; refused for another one."""
    template: str = "file"
    """The template that it comes from, as results show it: any text."""
    notes: list[str] = []
    """Notes that a result shows."""


class RootFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The only key of the file."""

    mapping: MappingFile
    """The mapping."""


class LoopItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{for: RANK, tile: N}`."""

    rank: str = msgspec.field(name="for")
    """A loop over this rank."""
    tile: Size
    """Its step; `4K` is 4096. The last step may be smaller."""


class KeepItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{keep: [TENSOR, ...], in: MEMORY}`."""

    tensors: str | list[str] = msgspec.field(name="keep")
    """Tensors whose tiles stay."""
    memory: str = msgspec.field(name="in")
    """The memory, or a unit for its registers."""
    buffers: int = 2
    """Tiles that are held at a time: with 2 the next one fills while this one is used."""
    overlay: bool = False
    """Whether the tensors share the same bytes in turn."""
    spill: float = 0.0
    """Share of the accesses that overflow outward."""
    stays: str | list[str] = []
    """Inputs that are there before it begins, and results that are left there: none cross to DRAM."""


class ComputeItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{compute: EINSUM, on: UNIT}`."""

    einsum: str = msgspec.field(name="compute")
    """The Einsum whose tile is computed, by its output."""
    unit: str = msgspec.field(name="on")
    """The unit that computes it."""
    spatial: dict[str, str | list[str]] = {}
    """Ranks that are laid along each dimension of the unit; every other one is walked in time."""
    chained: str | list[str] = []
    """Operands that come straight from the unit's registers, as the Einsum before leaves them."""
    stationarity: Literal["output-stationary", "weight-stationary", "input-stationary", "row-stationary"] = (
        "output-stationary"
    )
    """Which operand or result stays in the array."""


class PipelineItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{pipeline: [...]}`."""

    pipeline: Children
    """Children that overlap on different units, and whose iterations overlap as far as buffers allow."""


class SequenceItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{sequence: [...]}`."""

    sequence: Children
    """Children that run one after the other."""


def load_mapping(path: str | Path, cascade: Cascade, machine: Machine) -> Mapping:
    """The legal mapping that a file holds; SpecError with file and line for whatever is wrong in it."""
    return read_mapping(load_yaml(Path(path)), cascade, machine)


def mapped_cascade(path: str | Path) -> str:
    """The cascade that a mapping's YAML file says it is for; "" where it says none."""
    name = load_yaml(Path(path)).value(("mapping", "cascade"))
    return name if isinstance(name, str) else ""


def load_deal(path: str | Path, cascade: Cascade, machine: Machine) -> Deal | None:
    """The legal deal that a file holds, None where it maps the whole cascade; SpecError as `load_mapping`."""
    document = load_yaml(Path(path))
    file = decode(document, RootFile, root="").mapping
    if file.deal is None:
        return None
    block, _ = _read(document, file, cascade, machine)
    item, at = file.deal, ("mapping", "deal")
    tiles = {
        rank: read_size(tile, dotted((*at, "tiles", rank)), document.where((*at, "tiles", rank)))
        for rank, tile in item.tiles.items()
    }
    deal = Deal(block=block, tiles=tiles, through=item.through, slots=item.slots, together=item.together)
    try:
        check_deal(deal, cascade, machine)
    except SpecError as error:
        path = f"mapping.{error.path}" if error.path.startswith("deal") else error.path
        raise SpecError(path, error.rule, got=error.got, where=document.where(at), hint=error.hint) from None
    return deal


def read_mapping(document: Document, cascade: Cascade, machine: Machine) -> Mapping:
    """As `load_mapping`, from a document that was read already."""
    file = decode(document, RootFile, root="").mapping
    if file.deal is not None:
        rule = "deals blocks to cores, which only einsim run evaluates"
        raise document.error(("mapping", "deal"), rule)
    mapping, reader = _read(document, file, cascade, machine)
    check(mapping, cascade, machine, Sites(lines=reader.lines))
    return mapping


def _read(
    document: Document, file: MappingFile, cascade: Cascade, machine: Machine
) -> tuple[Mapping, _Reader]:
    """The mapping of a file, not checked, and its reader, which knows lines."""
    asked = {"cascade": file.cascade, "machine": file.machine}
    for key, real in (("cascade", cascade.name), ("machine", machine.name)):
        if asked[key] and asked[key] != real:
            rule = f"this mapping is for another {key}"
            raise document.error(("mapping", key), rule, got=asked[key], hint=f"the {key} here is '{real}'")
    reader = _Reader(document)
    tree = reader.body(document.data["mapping"]["tree"], ("mapping", "tree"), ())
    mapping = Mapping(
        cascade=cascade.name, machine=machine.name, template=file.template, tree=tree, notes=tuple(file.notes)
    )
    return mapping, reader


class _Reader:
    """Turns items into nodes and remembers the line of each key."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.lines: dict[tuple[Place, str], str] = {}

    def body(self, data: object, path: Keys, place: Place) -> Node:
        """A chain or a single item."""
        items = data if isinstance(data, list) else [data]
        if not items:
            raise self.document.error(path, "must hold at least one item")
        kinds = []
        for at, item in enumerate(items):
            own = (*path, at) if isinstance(data, list) else path
            here = (*place, *(0,) * at)
            if len(here) >= DEEPEST:
                raise self.document.error(own, f"is nested deeper than {DEEPEST} nodes")
            kinds.append((self._kind(item, own), item, own, here))
            ends = kinds[-1][0] not in ("for", "keep")
            if ends and at < len(items) - 1:
                raise self.document.error(
                    (*path, at + 1), f"stands after '{kinds[-1][0]}', which ends a chain",
                    hint="put both into a pipeline or a sequence",
                )  # fmt: skip
            if not ends and at == len(items) - 1:
                rule = f"'{kinds[-1][0]}' must wrap something: a chain ends in compute, pipeline or sequence"
                raise self.document.error(own, rule)
        kind, item, own, here = kinds.pop()
        node = self._last(kind, item, own, here)
        for kind, item, own, here in reversed(kinds):
            node = self._wrap(kind, item, own, here, node)
        return node

    def _kind(self, item: object, path: Keys) -> str:
        if not isinstance(item, dict):
            raise self.document.error(path, f"must be an item with one of {', '.join(KINDS)}", got=item)
        found = [kind for kind in KINDS if kind in item]
        if len(found) > 1:
            raise self.document.error(
                (*path, found[1]), f"stands beside '{found[0]}': one item is one node",
                hint="make it the next item of the list",
            )  # fmt: skip
        if not found:
            hints = [near(key, KINDS) for key in item]
            hint = next((text for text in hints if text.startswith("did you mean")), "")
            raise self.document.error(path, f"must have one of {', '.join(KINDS)}", hint=hint)
        return found[0]

    def _decode(self, item: dict[str, Any], struct: type[Any], path: Keys, place: Place) -> Any:
        """One item alone, with the lines of its own keys."""
        lines: dict[Keys, int] = {}
        for key in ((), *((key,) for key in item), *_inner_keys(item)):
            line = self.document.lines.get((*path, *key))
            if line is not None:
                lines[key] = line
        own = Document(label=self.document.label, data=item, lines=lines)
        for keys in lines:
            if len(keys) <= 1:
                self.lines[place, str(keys[0]) if keys else ""] = own.where(keys)
        return decode(own, struct, root=dotted(path))

    def _wrap(self, kind: str, item: dict[str, Any], path: Keys, place: Place, body: Node) -> Node:
        if kind == "for":
            loop = self._decode(item, LoopItem, path, place)
            tile = read_size(loop.tile, dotted((*path, "tile")), self.document.where((*path, "tile")))
            return Loop(rank=loop.rank, tile=tile, body=body)
        held = self._decode(item, KeepItem, path, place)
        return Keep(
            tensors=_names(held.tensors), memory=held.memory, body=body, buffers=held.buffers,
            overlay=held.overlay, spill=held.spill, stays=_names(held.stays),
        )  # fmt: skip

    def _last(self, kind: str, item: dict[str, Any], path: Keys, place: Place) -> Node:
        if kind == "compute":
            leaf = self._decode(item, ComputeItem, path, place)
            return Compute(
                einsum=leaf.einsum, unit=leaf.unit, chained=_names(leaf.chained),
                stationarity=leaf.stationarity,
                spatial={dim: _names(ranks) for dim, ranks in leaf.spatial.items()},
            )  # fmt: skip
        group = Pipeline if kind == "pipeline" else Sequence
        self._decode(item, PipelineItem if kind == "pipeline" else SequenceItem, path, place)
        below = item[kind]
        if not below:
            raise self.document.error((*path, kind), "must have at least one child")
        return group(
            children=tuple(
                self.body(child, (*path, kind, at), (*place, at)) for at, child in enumerate(below)
            )
        )


def _inner_keys(item: dict[str, Any]) -> Iterator[Keys]:
    """Paths of the values inside an item's own values, children apart."""
    for key, value in item.items():
        if key in ("pipeline", "sequence"):
            continue
        if isinstance(value, dict):
            yield from ((key, inner) for inner in value)
        elif isinstance(value, list):
            yield from ((key, at) for at in range(len(value)))


def _names(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def dump_mapping(mapping: Mapping) -> str:
    """The YAML text of a mapping, which `load_mapping` reads back as the same mapping."""
    names = ("cascade", "machine", "template")
    lines = ["mapping:", *(f"  {name}: {_scalar(getattr(mapping, name))}" for name in names)]
    if mapping.notes:
        lines.append(f"  notes: {_flow(mapping.notes)}")
    lines.append("  tree:")
    lines += _chain(mapping.tree, "    ")
    return "\n".join(lines) + "\n"


def _chain(node: Node, pad: str) -> list[str]:
    """The lines of a chain of items, each beginning with a dash at `pad`."""
    lines = []
    while isinstance(node, (Loop, Keep)):
        if isinstance(node, Loop):
            lines.append(f"{pad}- {{for: {_scalar(node.rank)}, tile: {node.tile}}}")
        else:
            text = f"keep: {_flow(node.tensors)}, in: {_scalar(node.memory)}, buffers: {node.buffers}"
            text += ", overlay: true" if node.overlay else ""
            text += f", spill: {node.spill!r}" if node.spill else ""
            text += f", stays: {_flow(node.stays)}" if node.stays else ""
            lines.append(f"{pad}- {{{text}}}")
        node = node.body
    if isinstance(node, Compute):
        return [*lines, f"{pad}- {{{_compute(node)}}}"]
    lines.append(f"{pad}- {'pipeline' if isinstance(node, Pipeline) else 'sequence'}:")
    for child in node.children:
        first, *rest = _chain(child, pad + "      ")
        first = first.strip() if rest else first.strip().removeprefix("- ")
        lines += [f"{pad}    - {first}", *rest]
    return lines


def _compute(node: Compute) -> str:
    text = f"compute: {_scalar(node.einsum)}, on: {_scalar(node.unit)}"
    if node.spatial:
        inner = ", ".join(f"{_scalar(dim)}: {_flow(ranks)}" for dim, ranks in node.spatial.items())
        text += f", spatial: {{{inner}}}"
    text += f", chained: {_flow(node.chained)}" if node.chained else ""
    return text if node.stationarity == "output-stationary" else f"{text}, stationarity: {node.stationarity}"


def _flow(names: tuple[str, ...]) -> str:
    return f"[{', '.join(_scalar(name) for name in names)}]"


def _scalar(text: str) -> str:
    """Plain where YAML reads it as the same text, quoted elsewhere."""
    if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    return json.dumps(text, ensure_ascii=False)
