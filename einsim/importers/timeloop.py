"""Timeloop's problems and architectures (Parashar et al., ISPASS 2019), versions 0.2 to 0.4 of its YAML."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from einsim.importers.imported import Imported, cascade_body, word
from einsim.importers.levels import HierarchyLevel, machine
from einsim.importers.plain_yaml import TAG, number
from einsim.specs.errors import SpecError
from einsim.specs.near import near

_CONVOLUTION = {
    "dimensions": ["C", "M", "R", "S", "N", "P", "Q"],
    "data_spaces": [
        {"name": "Weights", "projection": [[["C"]], [["M"]], [["R"]], [["S"]]]},
        {"name": "Inputs", "projection": [
            [["N"]], [["C"]], [["R", "Wdilation"], ["P", "Wstride"]], [["S", "Hdilation"], ["Q", "Hstride"]],
        ]},
        {"name": "Outputs", "projection": [[["N"]], [["M"]], [["Q"]], [["P"]]], "read_write": True},
    ],
}  # fmt: skip
_SHAPES = {"cnnlayer": _CONVOLUTION, "conv": _CONVOLUTION}
"""Shapes that Timeloop knows by name."""
_INSTANCES = re.compile(r"(.*)\[(\d+)\.\.(\d+)\]")
_OF_PROBLEM = ("shape", "instance", "version", "name", TAG)
_MEMORIES = ("dram", "sram", "buffer", "regfile", "storage", "rf", "register", "cache", "spad", "memory")
_COMPUTES = ("mac", "compute", "alu", "multiplier", "adder")


def problem(data: Mapping[str, Any], path: Path) -> Imported:
    """A problem as one Einsum: the written data space from the product of all others."""
    found, where = data["problem"], str(path)
    if not isinstance(found, dict):
        raise SpecError("problem", "must be a mapping", where=where)
    shape, left = found.get("shape", "cnn-layer"), _others(data, {"problem"})
    if isinstance(shape, str):
        key = re.sub(r"[^a-z]", "", shape.lower())
        if key not in _SHAPES:
            raise SpecError("problem.shape", "is a name that isn't known here", got=shape, where=where)
        shape = _SHAPES[key]
    defaults = {
        one["name"]: one.get("default", 1) for one in shape.get("coefficients") or [] if "name" in one
    }
    dimensions = [str(one) for one in shape["dimensions"]]
    coefficients = dict.fromkeys((*defaults, *_coefficients(shape)))
    given = _instance(found, dimensions, coefficients, where, left)
    strides = {name: given.get(name, defaults.get(name, 1)) for name in coefficients}
    ranks = {dim.lower(): _whole(given[dim], f"problem.instance.{dim}", where) for dim in dimensions}
    spaces = _key(shape, "data_spaces") or []
    reads, writes = list[str](), list[str]()
    for space in spaces:
        indices = [_index(terms, strides, where) for terms in space["projection"]]
        access = f"{word(str(space['name']))}[{','.join(indices)}]"
        (writes if _key(space, "read_write") else reads).append(access)
    if len(writes) != 1 or not reads:
        raise SpecError(
            "problem.shape.data_spaces", "needs one that is written and one that is read", where=where
        )
    tensors = _densities(given, [str(space["name"]) for space in spaces], where, left)
    sized = {
        rank: size for rank, size in ranks.items() if any(rank in _ranks(one) for one in (*reads, *writes))
    }
    name = word(str(found.get("name") or shape.get("name") or path.stem))
    return Imported(
        kind="workload",
        body=cascade_body(name, sized, [f"{writes[0]} = {' * '.join(reads)}"], tensors=tensors),
        source=where, left=tuple(left), assumed=("widths: 16 bits, which a problem doesn't say",),
    )  # fmt: skip


def _instance(
    found: Mapping[str, Any], dimensions: list[str], coefficients: Iterable[str], where: str, left: list[str]
) -> dict[str, Any]:
    """What an instance gives, or the problem itself in old files. SpecError for a name that the shape lacks,
    and for a dimension without a size: none is 1 unless the file says so.
    """
    inside = found.get("instance") or {}
    names = [*dimensions, *coefficients]
    known = [*names, "densities", "commonDensity"]
    for name in map(str, inside):
        if name not in known:
            raise SpecError(
                f"problem.instance.{name}", "is no dimension or coefficient of the shape", where=where,
                hint=near(name, names),
            )  # fmt: skip
    given = {str(name): value for name, value in {**found, **inside}.items()}
    others = [name for name in given if name not in (*known, *_OF_PROBLEM)]
    for dimension in dimensions:
        if dimension not in given:
            hint = near(dimension, others) if others else f"{dimension}: 1, if it is none"
            raise SpecError(
                f"problem.instance.{dimension}", "gives no size of this dimension", where=where, hint=hint
            )
    left += [f"problem.{name}" for name in others]
    if "commonDensity" in given:
        left.append(f"density of all data spaces: {given['commonDensity']}")
    return given


def _ranks(access: str) -> set[str]:
    return set(re.findall(r"[a-z_]\w*", access.partition("[")[2]))


def _coefficients(shape: Mapping[str, Any]) -> Iterator[str]:
    """Names that projections multiply by."""
    for space in _key(shape, "data_spaces") or []:
        for terms in space["projection"]:
            yield from (str(term[1]) for term in terms if isinstance(term, list) and len(term) > 1)


def _index(terms: object, strides: Mapping[str, object], where: str) -> str:
    found = []
    for term in terms if isinstance(terms, list) else []:
        rank, *by = term if isinstance(term, list) else [term]
        factor = _whole(strides.get(str(by[0]), by[0]), str(by[0]), where) if by else 1
        found.append(str(rank).lower() + (f"*{factor}" if factor > 1 else ""))
    if not found:
        raise SpecError(
            "problem.shape.data_spaces", "a projection is a list of sums of ranks", got=terms, where=where
        )
    return "+".join(found)


def _densities(
    given: Mapping[str, Any], spaces: list[str], where: str, left: list[str]
) -> dict[str, dict[str, object]]:
    tensors: dict[str, dict[str, object]] = {}
    densities = given.get("densities") or {}
    for name, density in densities.items() if isinstance(densities, dict) else ():
        if name not in spaces:
            raise SpecError(
                f"problem.instance.densities.{name}", "is no data space of the shape", where=where,
                hint=near(name, spaces),
            )  # fmt: skip
        share = number(density.get("density") if isinstance(density, dict) else density)
        if share is None or not 0 <= share <= 1:
            left.append(f"density of {name}: {density}")
        elif share < 1:
            tensors[word(str(name))] = {"sparse": f"density {share:.6g}"}
    return tensors


def _key(data: Mapping[str, Any], name: str) -> Any:
    """A key with - or _ between its words, as versions differ."""
    return data.get(name, data.get(name.replace("_", "-")))


def _whole(value: object, path: str, where: str) -> int:
    found = number(value)
    if found is None or found != int(found) or not 1 <= found <= 2**40:
        raise SpecError(path, "must be a whole number >= 1", got=value, where=where)
    return int(found)


def _others(data: Mapping[str, Any], read: set[str]) -> list[str]:
    """Top-level keys that aren't read."""
    return [
        f"{key}: not part of a machine or a workload here" for key in data if key not in read and key != TAG
    ]


def architecture(data: Mapping[str, Any], path: Path) -> Imported:
    """An architecture's memories and array; buffers inside a PE are its registers, and are told."""
    found = data["architecture"]
    left = _others(data, {"architecture"})
    if not isinstance(found, dict):
        raise SpecError("architecture", "must be a mapping", where=str(path))
    levels: list[HierarchyLevel] = []
    clock: list[float] = []
    if isinstance(found.get("nodes"), list):
        _walk_nodes(found["nodes"], levels, clock, left, path)
    else:
        _walk_subtree(_key(found, "subtree") or [found], levels, clock, left, path)
    return machine(path.stem, levels, clock[0] if clock else None, str(path), left)


def _walk_nodes(
    nodes: list[Any], levels: list[HierarchyLevel], clock: list[float], left: list[str], path: Path
) -> None:
    """Version 0.4: a list of components and containers, the outermost first."""
    for node in nodes:
        if not isinstance(node, dict):
            raise SpecError("architecture.nodes", "must be a list of mappings", where=str(path))
        if isinstance(node.get("nodes"), list):
            _walk_nodes(node["nodes"], levels, clock, left, path)
            continue
        spatial = node.get("spatial") or {}
        spread = tuple(
            _whole(spatial[axis], f"spatial.{axis}", str(path))
            for axis in ("meshY", "meshX")
            if axis in spatial
        )
        name, attributes = str(node.get("name", node.get(TAG, ""))), node.get("attributes") or {}
        _clock(attributes, clock)
        _constraints(node, name, left)
        levels.append(
            _level(name, str(node.get("class", "")), attributes, spread, str(node.get(TAG, "")), left)
        )


def _walk_subtree(
    trees: list[Any],
    levels: list[HierarchyLevel],
    clock: list[float],
    left: list[str],
    path: Path,
    outer: int = 1,
) -> None:
    """Versions 0.2 and 0.3: nested subtrees, each with its local components; `outer` instances so far."""
    for tree in trees:
        if not isinstance(tree, dict):
            raise SpecError("architecture.subtree", "must be a list of mappings", where=str(path))
        _clock(tree.get("attributes") or {}, clock)
        _, many = _instances(str(tree.get("name", "")))
        inside = outer * many
        for node in tree.get("local") or []:
            name, own = _instances(str(node.get("name", "")))
            attributes = node.get("attributes") or {}
            every = inside * own
            mesh = number(attributes.get("meshX")) or 0
            before = _total(levels)
            spread = _folded(every // before, int(mesh)) if every > before else ()
            levels.append(_level(name, str(node.get("class", "")), attributes, spread, "", left))
        _walk_subtree(_key(tree, "subtree") or [], levels, clock, left, path, inside)


def _total(levels: list[HierarchyLevel]) -> int:
    return math.prod(size for level in levels for size in level.spread)


def _folded(many: int, mesh: int) -> tuple[int, ...]:
    """Rows and columns of so many instances; meshX is how many stand in a row."""
    return (many // mesh, mesh) if mesh > 1 and many % mesh == 0 and many > mesh else (many,)


def _instances(name: str) -> tuple[str, int]:
    found = _INSTANCES.fullmatch(name)
    return (found[1], int(found[3]) - int(found[2]) + 1) if found else (name, 1)


def _clock(attributes: Mapping[str, Any], clock: list[float]) -> None:
    seconds = number(attributes.get("global_cycle_seconds"))
    if seconds:
        clock.append(1 / seconds)


def _constraints(node: Mapping[str, Any], name: str, left: list[str]) -> None:
    if node.get("constraints"):
        left.append(f"constraints of {name}: a mapping is not part of a machine here")


def _level(
    name: str, kind: str, attributes: Mapping[str, Any], spread: tuple[int, ...], tag: str, left: list[str]
) -> HierarchyLevel:
    lower = kind.lower()
    if tag == "Container" or not kind:
        return HierarchyLevel(kind="fanout", name=name, spread=spread)
    if any(one in lower for one in _COMPUTES):
        return HierarchyLevel(
            kind="compute", name=name, spread=spread, datawidth=_bits(attributes, "datawidth")
        )
    if not any(one in lower for one in _MEMORIES) and not _bits(attributes, "depth"):
        left.append(f"{name}: a component of class {kind}")
        return HierarchyLevel(kind="fanout", name=name, spread=spread)
    width = _bits(attributes, "width") or _bits(attributes, "memory_width")
    depth = number(attributes.get("depth", attributes.get("memory_depth", attributes.get("entries"))))
    word_bits = _bits(attributes, "word_bits") or _bits(attributes, "datawidth") or 16
    size = depth * width / 8 if depth and width else None
    kilobytes = number(attributes.get("sizeKB"))
    shared = number(_key(attributes, "shared_bandwidth"))
    rates = [number(_key(attributes, f"{side}_bandwidth")) or shared for side in ("read", "write")]
    read, write = (None if rate is None else rate * word_bits / 8 for rate in rates)
    return HierarchyLevel(
        kind="memory", name=name, spread=spread, capacity_bytes=kilobytes * 1024 if kilobytes else size,
        bits=float(width or word_bits), read_rate=read, write_rate=write, shared=shared is not None,
        per_cycle=True,
    )  # fmt: skip


def _bits(attributes: Mapping[str, Any], name: str) -> int | None:
    found = number(_key(attributes, name))
    return int(found) if found and found >= 1 else None
