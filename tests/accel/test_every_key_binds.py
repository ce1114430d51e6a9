"""Every key that a machine may be written with changes a figure, or is refused where it could change none.

The keys come from the families' own types, so that a new one can't be forgotten: it fails here until a change of
it is stated below. Those that only say where figures come from are listed, each with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import msgspec
import pytest
import yaml
from msgspec import inspect

from einsim.accel.load import FAMILIES, GENERIC, load_machine
from einsim.accel.machine import Machine, Unit
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.workload import find_workload
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse
from tests.dataflow.read_text import parse_text

DOCUMENTATION = {
    "family": "says which family this is", "machine": "the machine's name", "technology": "a label",
    "sources": "citations", "assumed": "paths without a citation",
    "fitted": "what was fitted on measured rows",
}  # fmt: skip

VECTOR_OPS = {op: {"energy": "1pJ"} for op in ("mac", "mul", "add", "max", "exp", "div", "select")}
PORT = {"bandwidth": "64GB/s", "access": "8B", "read_energy": "8pJ"}
DRAM = {"bandwidth": "8GB/s", "access": "8B", "read_energy": "80pJ", "capacity": "1MiB"}
REGISTERS = {"bytes_per_pe": "64B", "read_energy": "0.1pJ", "write_energy": "0.1pJ"}
ARRAY = {"ops": {"mac": {"energy": "1pJ"}}, "registers": REGISTERS, "bits": [16]}
VECTOR = {"ops": VECTOR_OPS, "registers": REGISTERS}
BASES: dict[str, dict[str, Any]] = {
    "spatial-array": {
        "family": "spatial-array", "clock": "1GHz", "cores": 2, "multicast": True, "leakage": "0.1W",
        "dram": DRAM, "buffer": "64KiB", "buffer_port": PORT, "noc": {"bandwidth": "32GB/s"},
        "local": {"capacity": "16KiB", **PORT},
        "array": {"rows": 8, "cols": 8, **ARRAY}, "vector": {"lanes": 8, **VECTOR},
        "area": {"buffer_um2_per_mib": 5.0, "array_pe_um2": {"mac": 1.0}, "vector_pe_um2": {"mac": 1.0}},
    },
    "npu": {
        "family": "npu", "clock": "1GHz", "precision": 8, "cores": 2, "leakage": "0.1W", "dram": DRAM,
        "scratchpad": "64KiB", "scratchpad_port": PORT, "noc": {"bandwidth": "32GB/s"},
        "tensor": {"rows": 8, "cols": 8, "mac_cycles": {"int8": 1, "int16": 2}, **ARRAY},
        "outlet": {"lanes": 16, "ops": {op: {"energy": "1pJ"} for op in ("add", "max", "exp")}},
        "vector": {"units": 1, "width_bits": 128, **VECTOR, "bits": [8, 16]},
    },
    "fpga-dsp": {
        "family": "fpga-dsp", "part": "u280", "clock": "200MHz", "slrs": 2, "leakage": "0.1W",
        "noc": {"bandwidth": "32GB/s"},
        "dram": {**DRAM, "channels": 4, "efficiency": {"good": 0.5, "bad": 0.25}, "placement": "good"},
        "matrix": {"mm": {"rows": 8, "cols": 8, "chain": 4, **ARRAY}},
        "vector": {"vec": {"lanes": 8, **VECTOR}},
        "buffers": {"weights": {"capacity": "64KiB", "width_bits": 64, "ram": "bram"}},
        "buffer_port": {"access": "8B", "read_energy": "8pJ"},
        "logic": {"luts_per_dsp": 10, "ffs_per_dsp": 10, "luts_per_channel": 10, "luts_of_control": 10,
                  "ffs_of_control": 10, "dsps_of_control": 3},
    },
    "dpu": {
        "family": "dpu", "clock": "250MHz", "part": "zcu104", "arch": "b512", "cores": 2, "leakage": "0.1W",
        "dram": {**DRAM, "efficiency": 0.5}, "ports": {"count": 1, "width_bits": 32, "efficiency": 0.9},
    },
    "generic": {
        "machine": "written", "clock": "1GHz", "leakage": "0.1W", "noc": {"bandwidth": "32GB/s"}, "multicast": True,
        "memories": {"dram": DRAM, "gb": {"parent": "dram", "capacity": "64KiB", **PORT}},
        "units": {
            "mm": {"kind": "systolic", "dims": {"cores": 2, "rows": 8, "cols": 8}, "reads_from": "gb", **ARRAY},
            "vec": {"kind": "vector", "dims": {"cores": 2, "lanes": 8}, "reads_from": "gb", **VECTOR},
        },
    },
}  # fmt: skip

WORKS = [
    parse(text, name=name, sizes=sizes)
    for name, text, sizes in (
        ("layer", "H[m,j] = X[m,k] * W[k,j]\nG[m,j] = exp(H[m,j] - B[j])\nY[m,n] = G[m,j] * V[j,n]",
         {"m": 48, "k": 40, "j": 56, "n": 24}),
        ("sums", "S = max[m](X[m])\nT = sum[m](X[m])\nR[m] = X[m] / T - S", {"m": 64}),
        ("sparse", "tensor P sparse 2:4 k\nZ[m,n] = A[m,k] * P[k,n]", {"m": 16, "k": 64, "n": 16}),
        ("few", "Z[m,n] = A[m,k] * B[k,n]", {"m": 2, "k": 32, "n": 16}),
        ("wide-sums", "S[m] = max[n](X[m,n])\nT[m,n] = exp(X[m,n] - S[m])", {"m": 64, "n": 64}),
        ("steps", "initial R = 0\nR[t+1,p] = exp(R[t,p] - X[t,p])", {"t": 8, "p": 16}),
        ("narrow", "tensor A bits 8\ntensor B bits 8\nZ[m,n] = A[m,k] * B[k,n]\nM[m,n] = max(Z[m,n], A[m,n])",
         {"m": 16, "k": 16, "n": 16}),
        ("zeros", "tensor A sparse density 0.3\ntensor P sparse density 0.3\ntensor Q sparse 2:4 k\nZ[m,n] = A[m,k] * P[k,n]\nY[m,n] = Q[m,k] * B[k,n]",
         {"m": 16, "k": 64, "n": 16}),
        ("image", "Z[y,x,n] = A[y,x,k] * B[k,n]", {"y": 3, "x": 3, "k": 4, "n": 4}),
    )
]  # fmt: skip
WORKS += find_workload("attention").every(
    {"b": "1", "h": "4", "kv_heads": "2", "p": "4", "m": "8", "e": "4", "f": "4", "m0": "4"}
)[:1]

# Each row of a tile is in another row of DRAM, many of them in one bank.
TALL = parse("Z[m,n] = A[m,n] + B[m,n]", name="tall", sizes={"m": 64, "n": 2**12})


class Change(msgspec.Struct, frozen=True):
    """Another value of a key; `base` holds for the machine with and without it, `also` only with it.

    Keys of both stand beside the changed one, or, with as many ^ in front, beside a part that it is in.
    """

    value: Any
    base: dict[str, Any] = {}
    also: dict[str, Any] = {}


TIMED = {"timing": "ddr4-3200", "bandwidth": "20GB/s", "capacity": "1GiB"}
TWO_PORTS = {"bandwidth": None, "read_bandwidth": "64GB/s", "write_bandwidth": "64GB/s"}
BY_ROLE = {"^reads_from": {"inputs": "gb", "outputs": "gb"}}
RUNS = {"run_bits": 5, "word": "8B"}
WIDE = {"^^^^bits": [8], "cycles": 1, "energy": "1pJ"}
CHANGES: dict[str, Change] = {
    "clock": Change("100MHz"), "leakage": Change("0.2W"), "noc.bandwidth": Change("0.1GB/s"),
    "noc.multicast": Change(False, base={"bandwidth": "1GB/s"}),
    "bandwidth": Change("0.1GB/s", base={"bandwidth": "1GB/s"}),
    "read_bandwidth": Change("0.1GB/s", base=TWO_PORTS), "write_bandwidth": Change("0.1GB/s", base=TWO_PORTS),
    "access": Change("64B"), "read_energy": Change("99pJ"), "write_energy": Change("99pJ"),
    "holds": Change(["outputs"]), "timing": Change("ddr4-3200", base={"bandwidth": "20GB/s"}),
    "timing_channels": Change(2, base=TIMED), "refresh": Change("exact", base=TIMED),
    "row_hit_cap": Change(1, base={**TIMED, "^buffer_port.dma_engines": 4}),
    "npu dram.row_hit_cap": Change(1, base={**TIMED, "^scratchpad_port.dma_engines": 4}),
    "fpga-dsp dram.row_hit_cap": Change(1, base={**TIMED, "^buffer_port.dma_engines": 4, "^buffers.weights.width_bits": 1024}),
    "generic memories.dram.row_hit_cap": Change(1, base={**TIMED, "^gb.dma_engines": 4}),
    "generic memories.gb.row_hit_cap": Change(1, base=TIMED), "port.row_hit_cap": Change(1, base=TIMED),
    "overlap": Change(1.0), "banks": Change(4), "outstanding": Change(1, base={"^dram.latency_cycles": 200}),
    "bus": Change("shared", also={"bus_bandwidth": "0.1GB/s"}),
    "bus_bandwidth": Change("0.1GB/s", base={"bus": "shared", "bus_bandwidth": "64GB/s"}),
    "value_bits": Change(64), "codec.format": Change("pattern"), "codec.run_bits": Change(1, base=RUNS), "codec.word": Change("4B", base=RUNS),
    "descriptor_cycles": Change(50), "dma_engines": Change(1, base={"descriptor_cycles": 50}),
    "capacity": Change("1KiB"), "buffer": Change("1KiB"), "scratchpad": Change("1KiB"),
    "cycles": Change(3), "energy": Change("99pJ"), "latency_cycles": Change(40), "made_of": Change({"add": 2}),
    "fused_ops": Change([["add", "exp"]]), "dataflows": Change(["weight-stationary"]),
    "bytes_per_pe": Change("1B"),
    "by_role": Change({"inputs": "8B"}, base={"^^dataflows": ["row-stationary", "output-stationary"]}),
    "registers.read_energy": Change("99pJ"), "registers.write_energy": Change("99pJ"),
    "tensor.bits": Change([8], base={"mac_cycles.int16": 1}),
    "shares_dsps_of": Change("mv", base={"^mv": {"rows": 8, "cols": 8, **ARRAY}}),
    "buffers.weights.width_bits": Change(16), "parent": Change("gb"),
    "by_bits.16.cycles": Change(9, base=WIDE), "by_bits.16.energy": Change("99pJ", base=WIDE),
    "reduction_latency_cycles": Change({"mac": 40, "max": 40, "add": 40}),
    "tensor.reduction_latency_cycles": Change({"mac": 40, "max": 40, "add": 40}, base={"dataflows": ["weight-stationary"]}),
    "fill": Change("exposed"), "exploits": Change(["n:m"]), "bits": Change([4]),
    "accumulator_bits": Change(64, base={"dataflows": ["weight-stationary"]}),
    "vec.accumulator_bits": Change(64), "vector.accumulator_bits": Change(64),
    "convention": Change("scale-sim"), "rows": Change(4), "cols": Change(4), "lanes": Change(4),
    "kind": Change("systolic", base={"dataflows": ["weight-stationary"]}),
    "tensor.kind": Change("array", base={"dataflows": ["weight-stationary"]}),
    "units.mm.kind": Change("array", base={"dataflows": ["weight-stationary"]}), "units.vec.kind": Change("array"),
    "cores": Change(3), "multicast": Change(False),
    "buffer_um2_per_mib": Change(9.0), "local_um2_per_mib": Change(9.0), "array_pe_um2": Change({"mac": 2.0}), "vector_pe_um2": Change({"mac": 2.0}),
    "operand_load.rows_per_cycle": Change(8, base={"^dataflows": ["weight-stationary"], "hidden": False}),
    "operand_load.hidden": Change(False, base={"^dataflows": ["weight-stationary"]}),
    "array.operand_load.rows_per_cycle": Change(8, base={"^kind": "systolic", "^dataflows": ["weight-stationary"], "hidden": False}),
    "array.operand_load.hidden": Change(False, base={"^kind": "systolic", "^dataflows": ["weight-stationary"]}),
    "pixels": Change(4), "tensor.packs": Change(["lines"], base={"pixels": 8}), "tensor.overlaps": Change(False),
    "packs": Change(["lines"], base={"dims": {"pixels": 8, "rows": 2, "cols": 2}, "kind": "array"}),
    "vec.packs": Change(["lines"]), "stops": Change("dram"), "mm.follows": Change("mm"), "vec.follows": Change("mm"),
    "tables.bits": Change(8, base={"cycles": 1}, also={"^bits": [8, 16]}), "tables.cycles": Change(9, base={"bits": 16}),
    "wide_run_cycles": Change(500, base={"precision": 16}),
    "start": Change("1us"), "per_block": Change("1us"), "block_start": Change("1us"), "first_touch": Change("1us"), "cap": Change("0.11W"),
    "exponent": Change(0.0, base={"cap": "0.11W"}), "static": Change("0.2W", base={"cap": "1W", "^leakage": None}),
    "group_row_cycles": Change(7.5), "tile_rows": Change(2, base={"group_row_cycles": 7.5}),
    "run_cycles": Change(500), "op_cycles": Change(500), "compiler": Change("unfused"),
    "precision": Change(16), "efficiency": Change(0.5), "int8": Change(2), "int16": Change(1), "units": Change(2),
    "width_bits": Change(64), "part": Change("u280", base={"part": "vhk158", "clock": "1GHz"}), "channels": Change(8), "placement": Change("bad"),
    "dram.efficiency": Change({"good": 0.125}),
    "dpu part": Change("kv260"), "dpu dram.efficiency": Change(0.1), "arch": Change("b800"), "dsp_usage": Change("low"),
    "ram_usage": Change("high"), "depthwise": Change(False), "leaky_relu": Change(True), "count": Change(2),
    "dpu dram.bandwidth": Change("1GB/s"), "dpu dram.row_hit_cap": Change(1, base=TIMED),
    "ports.width_bits": Change(16),
    "chain": Change(8), "macs_per_dsp": Change(2), "dsps_per_mac": Change(2), "dsps_per_lane": Change(3),
    "luts_per_lane": Change(3), "ffs_per_lane": Change(3), "ram": Change("uram"), "luts_per_dsp": Change(30),
    "ffs_per_dsp": Change(30), "luts_per_chain": Change(30), "luts_per_channel": Change(30),
    "luts_of_control": Change(30), "ffs_of_control": Change(30), "dsps_of_control": Change(30),
    "slrs": Change(3), "effective_slrs": Change(1.5), "copies": Change(2),
    "dims": Change({"rows": 4, "cols": 4}), "reads_from": Change("dram"),
    **{f"reads_from.{role}": Change("dram", base=BY_ROLE) for role in ("inputs", "outputs")},
    "mm.reads_from.weights": Change("dram", base={**BY_ROLE, "^dataflows": ["weight-stationary"]}),
    "vec.reads_from.weights": Change("dram", base=BY_ROLE),
}  # fmt: skip
NAMES = {"matrix": ("mm",), "buffers": ("weights",), "memories": ("dram", "gb"), "units": ("mm", "vec")}


def keys(kind: inspect.Type, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of a written type, in parts; names that a user chooses are those of the bases."""
    match kind:
        case inspect.Metadata():
            yield from keys(kind.type, path)
        case inspect.UnionType() if any(isinstance(one, inspect.StructType) for one in kind.types):
            yield from keys(next(one for one in kind.types if isinstance(one, inspect.StructType)), path)
            if any(not isinstance(_plain(one), inspect.StructType | inspect.NoneType) for one in kind.types):
                yield path
        case inspect.StructType():
            for field in kind.fields:
                yield from keys(field.type, (*path, field.encode_name))
        case inspect.DictType() if path[-1] in DOCUMENTATION:
            yield path
        case inspect.DictType() if isinstance(_plain(kind.value_type), inspect.StructType):
            for name in _chosen(path):
                yield from keys(kind.value_type, (*path, name))
        case _:
            yield path


def _plain(kind: inspect.Type) -> inspect.Type:
    return _plain(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _chosen(path: tuple[str, ...]) -> tuple[str, ...]:
    if path[-1] == "ops":
        return ("exp",) if path[0] in ("vector", "outlet") or path[1:2] == ("vec",) else ("mac",)
    if path[-1] == "by_bits":
        return ("16",)
    return ("vec",) if path == ("vector",) else NAMES[path[-1]]


FORMS = {**FAMILIES, "generic": GENERIC}
EVERY = [
    (family, ".".join(path))
    for family, form in FORMS.items() if family in BASES
    for path in keys(inspect.type_info(form.spec))
]  # fmt: skip


def test_what_documents_is_all_that_is_left_out() -> None:
    left = {key.rpartition(".")[2] for _, key in EVERY} & set(DOCUMENTATION)
    assert left == set(DOCUMENTATION)
    assert set(BASES) >= {"spatial-array", "npu", "fpga-dsp", "generic"}


@pytest.mark.parametrize(("family", "key"), [(f, k) for f, k in EVERY if k not in DOCUMENTATION])
def test_a_key_changes_a_figure_or_is_refused(family: str, key: str, tmp_path_factory: Any) -> None:
    change = _change(family, key)
    base, also = (
        {_beside(key, name): value for name, value in some.items()} for some in (change.base, change.also)
    )
    try:
        before = load(family, base)
        after = load(family, {**base, key: change.value, **also})
    except EinsimError as error:
        said = str(error)
        assert any(name.rpartition(".")[2] in said for name in (key, *base, *also)), said
        return  # refused, for itself or what goes with it
    differ = (
        one != other
        for mapped in (before, after)
        for one, other in zip(_figures(before, before), _figures(after, mapped), strict=True)
    )
    assert any(differ), f"{key} = {change.value} changes nothing"


def _change(family: str, key: str) -> Change:
    parts = key.split(".")
    names = [f"{family} {key}", *(".".join(parts[at:]) for at in range(len(parts)))]
    found = [CHANGES[name] for name in names if name in CHANGES]
    assert found, f"{key} is new: state a change of it in CHANGES, which this test then holds to bind"
    return found[0]


def _beside(key: str, name: str) -> str:
    return ".".join((*key.split(".")[: -1 - name.count("^")], name.lstrip("^")))


def load(family: str, overrides: dict[str, Any]) -> str:
    """The text of the family's base with some keys replaced, which loads; None takes one away."""
    data = yaml.safe_load(yaml.safe_dump(BASES[family]))
    for key, value in overrides.items():
        *above, last = key.split(".")
        here = data
        for name in above:
            here = here.setdefault(name, {})
        here[last] = deepcopy(value)
        if value is None:
            del here[last]
    text = yaml.safe_dump(data, sort_keys=False)
    _loaded(text)
    return text


@cache
def _loaded(text: str) -> Machine:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "machine.yaml"
        path.write_text(text)
        return load_machine(str(path))


def _figures(text: str, mapped: str) -> Iterator[Any]:
    """Figures of each workload at both levels by the default mapping of the machine `mapped`, which is another
    one's first: to choose a mapping takes longest. A refusal counts as a figure.

    Beside these, what a unit gathers in its registers and, where DRAM is timed, tiles of many of its rows: by
    mappings that are given, so that another default can't hide what such keys change.
    """
    chip = _loaded(text)
    yield dict(chip.resources), dict(chip.area_um2)
    for unit in chip.units:
        yield _run(text, *_in_registers(unit), analyse)
    for at in range(len(WORKS)):
        for level in (analyse, simulate):
            yield _by_default(text, mapped, at, level)
    if chip.dram.timing:
        yield _run(text, TALL, _in_columns(chip.vector_units[0]), simulate)


@cache
def _by_default(text: str, mapped: str, at: int, level: Any) -> Any:
    return _run(text, WORKS[at], _default(mapped, at), level)


@cache
def _default(text: str, at: int) -> Mapping | str:
    try:
        return build_mapping(WORKS[at], _loaded(text))
    except EinsimError as error:
        return type(error).__name__


def _in_registers(unit: Unit) -> tuple[Cascade, Mapping]:
    """A product or a sum that a unit gathers in its own registers."""
    of = "Z[m,n] = A[m,k] * B[k,n]" if unit.kind != "vector" else "Z[m] = sum[n](A[m,n])"
    work = parse(
        of, name="held", sizes={"m": 16, "n": 16, "k": 16} if unit.kind != "vector" else {"m": 300, "n": 8}
    )
    given = "A B" if unit.kind != "vector" else "A"
    near = unit.memories["inputs"]
    text = f"keep {given} Z in {near} x1\n  keep Z in {unit.name} x1\n    Z on {unit.name}"
    return work, parse_text(f"held on chip (test)\n{text}")


def _in_columns(unit: Unit) -> Mapping:
    """Tiles of TALL that are a few values wide, of which several are on their way from and to DRAM at once."""
    kept = f"for n/16\n  keep A B Z in {unit.memories['inputs']} x4"
    cores = " cores=m" if "cores" in unit.dims else ""
    return parse_text(f"tall on chip (test)\n{kept}\n    Z on {unit.name}{cores} lanes=n")


def _run(text: str, work: Cascade, mapping: Mapping | str, level: Any) -> Any:
    if isinstance(mapping, str):
        return mapping
    chip = _loaded(text)
    try:
        check(mapping, work, chip)
        result = level(lower(mapping, work, chip), chip)
    except EinsimError as error:
        return type(error).__name__
    return result.cycles, result.energy_stated_j, result.traffic, result.utilization
