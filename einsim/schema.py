"""JSON Schema of the three YAML files that a user writes: machines, cascades, mappings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from einsim.accel.gpu.machine import Gpu
from einsim.accel.load import FAMILIES, GENERIC
from einsim.dataflow.mapping_file import ComputeItem, KeepItem, LoopItem, PipelineItem, RootFile, SequenceItem
from einsim.specs.json_schema import DIALECT, Schema, definitions, reference
from einsim.workloads.file import CascadeFile

ENDS: Final = (ComputeItem, PipelineItem, SequenceItem)


def machine_forms() -> dict[str, type]:
    """What a machine's file is read as, by family; those that users registered are among them."""
    return {"generic": GENERIC.spec, **{name: family.spec for name, family in FAMILIES.items()}, "gpu": Gpu}


def machine_schema() -> Schema:
    """A machine written out, one of a family, or a GPU: their keys tell which."""
    families = [
        {"allOf": [reference(family.spec), {"properties": {"family": {"const": name}}}]}
        for name, family in FAMILIES.items()
    ]
    each = [reference(GENERIC.spec), *families, reference(Gpu)]
    return _file("A machine of einsim", {"oneOf": each}, definitions(machine_forms().values()))


def cascade_schema() -> Schema:
    """A cascade of Einsums."""
    return _file("A cascade of einsim", {"allOf": [reference(CascadeFile)]}, definitions([CascadeFile]))


def mapping_schema() -> Schema:
    """A mapping: a tree of items; a list is a chain that ends in a compute, a pipeline or a sequence."""
    known = definitions([RootFile, LoopItem, KeepItem, *ENDS])
    end = {"oneOf": [reference(kind) for kind in ENDS]}
    items = {"oneOf": [reference(kind) for kind in (LoopItem, KeepItem, *ENDS)]}
    chain = {"type": "array", "minItems": 1, "items": items, "contains": end}
    known["body"] = {"anyOf": [chain, end]}
    return _file("A mapping of einsim", {"allOf": [reference(RootFile)]}, known)


SCHEMAS: Final[dict[str, Callable[[], Schema]]] = {
    "machine": machine_schema,
    "cascade": cascade_schema,
    "mapping": mapping_schema,
}


def _file(title: str, what: Schema, known: dict[str, Schema]) -> Schema:
    return {"$schema": DIALECT, "title": title, **what, "definitions": known}
