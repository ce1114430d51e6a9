"""What the loaders take, the schemas take; what the loaders call a wrong key, the schemas call wrong."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import einsim
from einsim.accel.gpu.machine import gpu_names, gpu_path
from einsim.accel.load import FAMILIES, load_machine, preset_names
from einsim.cli.main import main
from einsim.dataflow.mapping_file import dump_mapping, load_mapping
from einsim.dataflow.templates import build_mapping
from einsim.schema import SCHEMAS, machine_forms, machine_schema
from einsim.specs.document import Document
from einsim.specs.errors import SpecError
from einsim.specs.loader import decode, load_yaml, read_yaml
from einsim.workloads.load import load_workload

ROOT = Path(__file__).resolve().parents[2]
PRESETS = sorted((ROOT / "accel" / "presets").glob("*.yaml"))
VALIDATORS = {kind: jsonschema.Draft7Validator(schema()) for kind, schema in SCHEMAS.items()}


def kind_of(data: dict[str, Any]) -> str:
    """Which of the three files it is, by its keys."""
    if "mapping" in data:
        return "mapping"
    return "cascade" if "einsums" in data else "machine" if {"machine", "family", "sm"} & {*data} else ""


def wrong(kind: str, data: object) -> list[str]:
    return [
        f"{list(error.absolute_path)}: {error.message[:200]}" for error in VALIDATORS[kind].iter_errors(data)
    ]


def written() -> Iterator[Any]:
    """Every YAML file of these kinds in the repository, those that the pages show included."""
    for path in sorted(ROOT.glob("*/**/*.yaml")):
        inside = path.relative_to(ROOT).parts
        if inside[0] in {"out", ".venv", "build", "site"} or path.resolve() != path:
            continue
        data = load_yaml(path).data
        if data.get("family", "npu") not in FAMILIES:
            continue  # an example's own family is in the schema once it is registered
        if kind_of(data) and "standards" not in inside:  # a DRAM standard has a family too
            yield pytest.param(data, id="/".join(inside))
    for page in sorted((ROOT / "docs").rglob("*.md")):
        blocks = re.findall(
            r"^```yaml\n(# ([\w.-]+\.yaml)\n.*?)^```$",
            page.read_text(encoding="utf-8"),
            re.MULTILINE | re.DOTALL,
        )
        for text, name in blocks:
            data = read_yaml(text, name).data
            assert kind_of(data) or name.startswith("my-space"), name
            yield pytest.param(data, id=f"{page.name}: {name}")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_is_one(kind: str) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMAS[kind]())


@pytest.mark.parametrize("data", [*written()])
def test_every_file_that_is_here_fits_its_schema(data: dict[str, Any]) -> None:
    assert wrong(kind_of(data), data) == []


def test_every_preset_is_among_those_files() -> None:
    names = {parameter.id for parameter in written()}
    assert {f"accel/presets/{name}.yaml" for name in preset_names()} <= names
    assert {f"accel/gpu/presets/{name}.yaml" for name in gpu_names()} <= names
    assert {
        "your-first-accelerator.md: my-machine.yaml",
        "your-first-accelerator.md: my-mapping.yaml",
    } <= names


@pytest.mark.parametrize("accel", ["fusemax-cloud", "tpu-v4i", "u280-flightllm", "sa8295p"])
@pytest.mark.parametrize("workload", ["attention", "ffn", "softmax", "conv", "linear-training"])
def test_a_saved_mapping_fits_its_schema(accel: str, workload: str, tmp_path: Path) -> None:
    settings = {"model": "bert-base", "seq": "1K"} if workload == "attention" else {}
    cascade, machine = load_workload(workload, settings), load_machine(accel)
    mapping = build_mapping(cascade, machine)
    path = tmp_path / "saved.yaml"
    path.write_text(dump_mapping(mapping), encoding="utf-8")
    assert load_mapping(path, cascade, machine) == mapping
    assert wrong("mapping", load_yaml(path).data) == []


def places(data: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every key."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in pairs:
        if isinstance(key, str):
            yield (*path, key)
        yield from places(value, (*path, key))


def changed(
    data: dict[str, Any], path: tuple[str | int, ...], change: Callable[[Any, Any], None]
) -> dict[str, Any]:
    """A copy in which the key at this path went through `change(its mapping, key)`."""
    whole = copy.deepcopy(data)
    inner: Any = whole
    for part in path[:-1]:
        inner = inner[part]
    change(inner, path[-1])
    return whole


def misspell(inner: dict[str, Any], key: str) -> None:
    inner[f"{key}_"] = inner.pop(key)


def decoded(kind: type, data: dict[str, Any]) -> str:
    """The first fault that decoding finds, "" for none: rules across keys are judged later."""
    try:
        decode(Document(label="x.yaml", data=data), kind)
    except SpecError as error:
        return error.rule
    return ""


def type_of(data: dict[str, Any]) -> type:
    """The struct that a machine's file is read as."""
    return machine_forms()["gpu" if "sm" in data else data.get("family", "generic")]


@pytest.mark.parametrize(
    "path", [*PRESETS, *(gpu_path(name) for name in gpu_names())], ids=lambda path: path.stem
)
def test_a_misspelled_key_of_a_machine_is_wrong_where_the_loader_says_so(path: Path) -> None:
    data = load_yaml(path).data
    kind = type_of(data)
    refused = 0
    for place in places(data):
        if place in {("family",), ("machine",)}:
            continue
        worse = changed(data, place, misspell)
        fault = decoded(kind, worse)
        if fault == "unknown key" or fault.startswith("missing key"):
            assert not VALIDATORS["machine"].is_valid(worse), place
            refused += 1
        elif not fault:
            assert VALIDATORS["machine"].is_valid(worse), place
    assert refused >= 15


CASCADE = """
name: one
ranks: {b: 2, e: 64, m: 4K, p: 4K, m0: 256}
partitions: {m: [m1, m0]}
parameters: {W: 128}
tensors: {K: {bits: 8, sparse: "2:4 e", ranks: [b, e, m]}}
where: ["m <= p"]
initial: {RM: -inf}
ops: {clip(x): "min(max(x, 0), 6)"}
einsums: "QK[b,m,p] = Q[b,e,p] * K[b,e,m]"
"""
MAPPING = """
mapping:
  cascade: one
  machine: other
  template: file
  notes: [a]
  tree:
    - {for: b, tile: 4K}
    - {keep: [Q, K], in: gb, buffers: 2, overlay: true, spill: 0.5}
    - pipeline:
        - - {for: m, tile: 1}
          - {compute: QK, on: array2d, spatial: {rows: m, cols: [b, p]}, chained: Q, stationarity: weight-stationary}
        - sequence: [{compute: GM, on: array1d}]
"""


@pytest.mark.parametrize(("kind", "text"), [("cascade", CASCADE), ("mapping", MAPPING)])
def test_a_misspelled_key_of_a_cascade_or_a_mapping_is_wrong_wherever_keys_are_not_names(
    kind: str, text: str
) -> None:
    data = read_yaml(text, "x").data
    assert wrong(kind, data) == []
    for place in places(data):
        is_a_name = len(place) > 1 and place[-2] in {
            "ranks",
            "partitions",
            "parameters",
            "tensors",
            "initial",
            "ops",
            "spatial",
        }
        assert bool(wrong(kind, changed(data, place, misspell))) is not is_a_name, place


def test_a_chain_that_wraps_nothing_is_wrong() -> None:
    assert wrong("mapping", {"mapping": {"tree": [{"for": "b", "tile": 1}]}})
    assert wrong("mapping", {"mapping": {"tree": [{"pipeline": []}]}})
    assert wrong("mapping", {"mapping": {"tree": {"keep": "Q", "in": "gb"}}})
    assert not wrong("mapping", {"mapping": {"tree": {"compute": "Q", "on": "gb"}}})


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_command_prints_the_schema(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", kind]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(SCHEMAS[kind]()))


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_key_has_a_description(kind: str) -> None:
    known = SCHEMAS[kind]()["definitions"].items()
    silent = [
        f"{name}.{key}"
        for name, of in known
        for key, own in of.get("properties", {}).items()
        if not own.get("description")
    ]
    assert silent == []
    assert all(of.get("description") for name, of in known if name != "body")


class Tiny(einsim.FamilySpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A family of one key."""

    side: int
    """Rows and columns."""


def test_a_registered_family_is_in_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FAMILIES, "_rows", dict(FAMILIES._rows))
    monkeypatch.setattr(FAMILIES, "_where", dict(FAMILIES._where))
    einsim.register_family("tiny", Tiny, lambda spec, name: load_machine("tpu-v4i"))
    validator = jsonschema.Draft7Validator(machine_schema())
    assert validator.is_valid({"family": "tiny", "clock": "1GHz", "side": 8})
    assert not validator.is_valid({"family": "tiny", "clock": "1GHz", "sides": 8})
    assert not validator.is_valid({"family": "tinny", "clock": "1GHz", "side": 8})
    assert not VALIDATORS["machine"].is_valid({"family": "tiny", "clock": "1GHz", "side": 8})
