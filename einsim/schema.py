"""JSON Schema of the three YAML files that a user writes: machines, cascades, mappings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from einsim.accel.families.fpga_dsp import FpgaDsp
from einsim.accel.families.npu import Npu
from einsim.accel.families.spatial_array import SpatialArray
from einsim.accel.generic import Generic
from einsim.accel.gpu.machine import Gpu
from einsim.accel.load import FAMILIES
from einsim.dataflow.mapping_file import ComputeItem, KeepItem, LoopItem, PipelineItem, RootFile, SequenceItem
from einsim.specs.json_schema import DIALECT, Schema, definitions, reference
from einsim.workloads.file import CascadeFile

MACHINES: Final = (Generic, SpatialArray, FpgaDsp, Npu, Gpu)
ENDS: Final = (ComputeItem, PipelineItem, SequenceItem)


def machine_schema() -> Schema:
    """A machine written out, one of a family (the user's too), or a GPU: their keys tell which."""
    users = {name: family.spec for name, family in FAMILIES.items() if family.spec not in MACHINES}
    kinds = [reference(kind) for kind in MACHINES]
    kinds += [
        {"allOf": [reference(spec), {"properties": {"family": {"const": name}}}]}
        for name, spec in users.items()
    ]
    return _file("A machine of einsim", {"oneOf": kinds}, definitions([*MACHINES, *users.values()]))


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
