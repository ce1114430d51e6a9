"""AccelForge's workloads and architectures: Einsums by accesses or in text, nodes from memory to compute.

Sizes there are in bits, energies in joules and latencies in seconds an action of `bits_per_action` bits, 1
where it isn't given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from einsim.importers.imported import Imported, cascade_body, word
from einsim.importers.levels import HierarchyLevel, machine
from einsim.importers.plain_yaml import TAG, number
from einsim.specs.errors import SpecError

_RANGE = re.compile(r"\s*(.+?)\s*<=\s*([A-Za-z_]\w*)\s*<\s*(.+?)\s*")
_ACCESS = re.compile(r"([A-Za-z_]\w*)\s*\[([^\]]*)\]")


def workload(data: Mapping[str, Any], path: Path) -> Imported:
    """All Einsums as one cascade. An Einsum of one operand is a copy: what it computes isn't said there."""
    found, where = data["workload"], str(path)
    if not isinstance(found, dict) or not isinstance(found.get("einsums"), list):
        raise SpecError("workload.einsums", "must be a list", where=where)
    left = [f"{key}: not part of a workload here" for key in data if key not in {"workload", TAG}]
    left += [f"workload.{key}" for key in found if key not in {
        "einsums", "rank_sizes", "iteration_space_shape", "shape", "bits_per_value", "version",
    }]  # fmt: skip
    ranges = _Ranges(found, where)
    einsums, tensors, made = [], dict[str, None](), set[str]()
    for at, einsum in enumerate(found["einsums"]):
        place = f"workload.einsums[{at}]"
        output, inputs = _accesses(einsum, ranges, place, where)
        result = output.partition("[")[0]
        if isinstance(einsum, dict):
            left += [
                f"{place}.{key}"
                for key in einsum
                if key in {"n_instances", "is_copy_operation", "persistent_tensors"}
            ]
        if len(inputs) == 1:
            left.append(f"{result}: what is computed of its one operand isn't said; it is a copy")
        for access in (output, *inputs):
            tensors[access.partition("[")[0]] = None
        if result in made:
            raise SpecError(place, "writes a tensor a second time", got=output, where=where)
        made.add(result)
        einsums.append(f"{output} = {' * '.join(inputs)}")
    bits, assumed = _bits(found.get("bits_per_value"), tensors, left)
    body = cascade_body(word(path.stem.partition(".")[0]), ranges.sizes, einsums, ranges.where, bits)
    return Imported(kind="workload", body=body, source=where, left=tuple(left), assumed=assumed)


class _Ranges:
    """Sizes of the ranks that are met, from `rank_sizes` by dimension or `iteration_space_shape` by rank."""

    def __init__(self, found: Mapping[str, Any], where: str) -> None:
        self.place = where
        self.dimensions = {str(name): number(size) for name, size in (found.get("rank_sizes") or {}).items()}
        self.sizes: dict[str, int] = {}
        self.where: list[str] = []
        self._given: dict[str, re.Match[str]] = {}
        self.add(found.get("iteration_space_shape", found.get("shape")))

    def add(self, shape: object) -> None:
        """Ranges such as 0 <= r < 3, a list of them or by rank."""
        for text in shape.values() if isinstance(shape, dict) else shape if isinstance(shape, list) else ():
            for part in str(text).split(" and "):
                range_ = _RANGE.fullmatch(part)
                if range_:
                    self._given[range_[2]] = range_

    def rank(self, name: str) -> str:
        """A rank's own name here, its size noted. SpecError where the file gives none."""
        own = word(name)
        if own in self.sizes:
            return own
        size, start = self.dimensions.get(name.upper()), 0.0
        if name in self._given:
            range_ = self._given[name]
            size, start = number(range_[3]), number(range_[1]) or 0.0
        if size is None or size != int(size) or size < 1:
            raise SpecError(
                f"workload.rank_sizes.{name.upper()}",
                "gives no size of this rank",
                got=size,
                where=self.place,
            )
        self.sizes[own] = int(size)
        if start:
            self.where.append(f"{own} >= {int(start)}")
        return own

    def index(self, text: str, dimension: str = "") -> str:
        """An index; a sum of ranks stays within its dimension."""
        plain = text.replace(" ", "")
        if not re.fullmatch(r"[A-Za-z_0-9+*]+", plain):
            raise SpecError("workload.einsums", "an index is a sum of ranks", got=text, where=self.place)
        for name in re.findall(r"[A-Za-z_]\w*", plain):
            self.rank(name)
        size = self.dimensions.get(dimension)
        if size and not plain.isidentifier():
            bound = f"{plain} < {int(size)}"
            if bound not in self.where:
                self.where.append(bound)
        return plain


def _accesses(einsum: object, ranges: _Ranges, place: str, where: str) -> tuple[str, list[str]]:
    """The written access and those that are read, as text."""
    text = einsum if isinstance(einsum, str) else einsum.get("einsum") if isinstance(einsum, dict) else None
    if isinstance(einsum, dict):
        ranges.add(einsum.get("iteration_space_shape"))
    if isinstance(text, str):
        found = [_told(one, ranges) for one in _ACCESS.finditer(text)]
        if "=" not in text or len(found) < 2:
            raise SpecError(place, "is written Z[m] = A[m,k] * B[k]", got=text, where=where)
        return found[0], found[1:]
    accesses = einsum.get("tensor_accesses") if isinstance(einsum, dict) else None
    if not isinstance(accesses, list):
        raise SpecError(f"{place}.tensor_accesses", "must be a list", where=where)
    outputs, inputs = list[str](), list[str]()
    for access in accesses:
        if not isinstance(access, dict) or "name" not in access:
            raise SpecError(f"{place}.tensor_accesses", "each has a name and a projection", where=where)
        projection = access.get("projection") or []
        pairs = (
            projection.items()
            if isinstance(projection, dict)
            else [(str(one).upper(), one) for one in projection]
        )
        indices = [ranges.index(str(index), str(dimension)) for dimension, index in pairs]
        (outputs if access.get("output") else inputs).append(_written(str(access["name"]), indices))
    if len(outputs) != 1 or not inputs:
        raise SpecError(place, "needs one output and an input", where=where)
    return outputs[0], inputs


def _told(found: re.Match[str], ranges: _Ranges) -> str:
    """An access of the text form: K[b, M: p] reads dimension M by p."""
    indices = []
    for part in found[2].split(","):
        dimension, colon, index = part.rpartition(":")
        indices.append(
            ranges.index((index if colon else part).strip(), (dimension if colon else part).strip().upper())
        )
    return _written(found[1], indices)


def _written(name: str, indices: list[str]) -> str:
    return f"{word(name)}[{','.join(indices)}]" if indices else word(name)


def _bits(
    given: object, tensors: Mapping[str, None], left: list[str]
) -> tuple[dict[str, dict[str, object]], tuple[str, ...]]:
    found: dict[str, dict[str, object]] = {}
    for name, width in given.items() if isinstance(given, dict) else ():
        bits = number(width)
        if bits is None or bits != int(bits) or (name != "All" and name not in tensors):
            left.append(f"workload.bits_per_value.{name}: {width}")
        elif name == "All":
            found = {**{tensor: {"bits": int(bits)} for tensor in tensors}, **found}
        else:
            found[str(name)] = {"bits": int(bits)}
    return found, () if found else ("widths: 16 bits, which the file doesn't say",)


def architecture(data: Mapping[str, Any], path: Path) -> Imported:
    """The nodes as a machine; what they keep of which tensor is a mapping's matter here."""
    found, where = data["arch"], str(path)
    if not isinstance(found, dict) or not isinstance(found.get("nodes"), list):
        raise SpecError("arch.nodes", "must be a list", where=where)
    left = [f"{key}: not part of a machine here" for key in data if key not in {"arch", TAG}]
    left += [f"arch.{key}" for key in found if key not in {"nodes", "version"}]
    levels: list[HierarchyLevel] = []
    _walk(found["nodes"], levels, left, where)
    return machine(path.stem.partition(".")[0], levels, None, where, left)


def _walk(nodes: list[Any], levels: list[HierarchyLevel], left: list[str], where: str) -> None:
    for at, node in enumerate(nodes):
        if not isinstance(node, dict):
            raise SpecError(f"arch.nodes[{at}]", "must be a mapping", where=where)
        if isinstance(node.get("nodes"), list):
            _walk(node["nodes"], levels, left, where)
            continue
        kind, name = str(node.get(TAG, "")), str(node.get("name", node.get(TAG, "")))
        spread = tuple(
            int(size) for one in node.get("spatial") or [] if isinstance(one, dict)
            for size in [number(one.get("fanout"))] if size and size >= 1
        )  # fmt: skip
        if kind == "Memory":
            levels.append(_memory(node, name, spread))
        elif kind == "Compute":
            levels.append(_compute(node, name, spread))
        else:
            levels.append(HierarchyLevel(kind="fanout", name=name, spread=spread))
            if kind not in {"Fanout", "Container", "Spatial"}:
                left.append(f"{name}: a node of kind {kind or 'none'}")
        if number(node.get("area")):
            left.append(f"area of {name}")
        left += [f"{key} of {name}" for key in ("tensors", "enabled") if key in node]


def _memory(node: Mapping[str, Any], name: str, spread: tuple[int, ...]) -> HierarchyLevel:
    bits = number(node.get("size"))
    actions = {str(one.get("name")): one for one in node.get("actions") or [] if isinstance(one, dict)}
    read, write = actions.get("read", {}), actions.get("write", {})
    width = number(read.get("bits_per_action", node.get("bits_per_action"))) or 1.0
    seconds = [_seconds(one, node, side) for one, side in ((read, "read"), (write, "write"))]
    rates = [width / 8 / time if time else None for time in seconds]
    return HierarchyLevel(
        kind="memory", name=name, spread=spread, capacity_bytes=None if bits is None else bits / 8,
        bits=width,
        read_rate=rates[0], write_rate=rates[1], shared="max(" not in str(node.get("total_latency", "")),
        read_j=number(read.get("energy")), write_j=number(write.get("energy")),
        leak_w=number(node.get("leak_power")),
    )  # fmt: skip


def _seconds(action: Mapping[str, Any], node: Mapping[str, Any], side: str) -> float | None:
    """Seconds of an action: its latency, its throughput, or what the node's total latency takes of one."""
    latency, rate = number(action.get("latency")), number(action.get("throughput"))
    if latency:
        return latency
    if rate and rate != float("inf"):
        return 1 / rate
    names = {f"{one}_actions": float(one == side) for one in ("read", "write", "compute")}
    return number(node.get("total_latency"), names)


def _compute(node: Mapping[str, Any], name: str, spread: tuple[int, ...]) -> HierarchyLevel:
    action = next((one for one in node.get("actions") or [] if isinstance(one, dict)), {})
    seconds = _seconds(action, node, "compute")
    return HierarchyLevel(
        kind="compute", name=name, spread=spread, read_j=number(action.get("energy")),
        rate_hz=1 / seconds if seconds else None,
    )  # fmt: skip
