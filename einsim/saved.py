"""Results as JSON: the short object that `run --json` prints, and the whole one that a report reads back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from einsim.accel.gpu.machine import Gpu, is_gpu, load_gpu
from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.result import Result
from einsim.evaluation import Evaluation, Mapped
from einsim.report.case import NotAtHand
from einsim.specs.errors import EinsimError, SpecError
from einsim.specs.files import read_text, write_text
from einsim.version import VERSION

# The keys of `einsim run --json`, in this order: scripts rely on them (docs/cli.md).
SUMMARY = (
    "workload", "accel", "level", "cycles", "latency_s", "energy_j", "dram_bytes", "utilization", "stalls",
    "energy_by", "traffic", "mapping", "power_w", "tops", "tops_per_w",
    "area_mm2", "resources", "energy_stated_j", "energy_not_stated", "area_not_stated",
)  # fmt: skip

UNWRITTEN = "0.1.0"  # the last version that did not write its number into results


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What a file held: a result, with its machine where that is known."""

    result: Result
    machine: Machine | Gpu | NotAtHand


def summary(result: Result) -> dict[str, Any]:
    """The object that `run --json` prints."""
    whole = result.to_dict()
    return {**{key: whole[key] for key in SUMMARY}, "version": VERSION}


def saved(found: Evaluation) -> dict[str, Any]:
    """The whole result with its machine, as plain data."""
    machine = {"machine": msgspec.to_builtins(found.machine)} if isinstance(found.how, Mapped) else {}
    return {**found.result.to_dict(), **machine, "version": VERSION}


def is_result(path: Path) -> bool:
    """Whether a JSON file holds a result rather than, say, a model's configuration."""
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and {"workload", "accel", "cycles"} <= data.keys()


def save_result(found: Evaluation, path: str | Path) -> None:
    """Keep a result and its machine in a JSON file, which `load_result` and `einsim report` read.

    SpecError where it can't be written; what was there before stays then.
    """
    write_text(Path(path), json.dumps(saved(found), indent=1) + "\n")


def load_result(path: str | Path) -> Result:
    """The result of a file that `save_result`, `run -o` or `run --json` wrote.

    SpecError, with the way on, for a file that can't be read or isn't one, or that another version wrote.
    """
    return read_saved(Path(path)).result


def read_saved(path: Path) -> Saved:
    """As `load_result`, with the machine."""
    text = read_text(path)
    try:
        data = msgspec.json.decode(text)  # NaN, which Python's own reader takes, is no JSON
    except (msgspec.DecodeError, RecursionError):
        raise SpecError("", "is not a result of einsim: no JSON", where=str(path)) from None
    if not isinstance(data, dict) or not {"workload", "accel", "cycles"} <= data.keys():
        raise SpecError("", "is not a result of einsim: no workload, accel and cycles", where=str(path))
    check_version(data, path)
    # The short object lacks what only pictures need; a report then leaves those pictures out.
    missing = {"stalls_by_unit": {}, "bottleneck": "", "bound_by": {}, "by_einsum": {}}
    machine = data.pop("machine", None)
    try:
        result = msgspec.convert({**missing, **data, "resources": data.get("resources") or {}}, Result)
        kept = preset(result.accel) if machine is None else msgspec.convert(machine, Machine)
        return Saved(result=result, machine=kept)
    except msgspec.ValidationError as error:
        raise SpecError("", f"is not a result of einsim: {error}", where=str(path)) from None


def check_version(data: dict[str, Any], path: Path) -> None:
    """SpecError for a result of another minor version: figures of two models are not to be compared."""
    written = data.get("version", UNWRITTEN)
    if not isinstance(written, str):
        raise SpecError("version", "is not a result of einsim: must be text", got=written, where=str(path))
    if series(written) == series(VERSION):
        return
    rule = f"holds a result of einsim {written}, whose figures this {VERSION} would not give"
    again = f"einsim run {data['workload']} --accel {data['accel']} -o {path.name}"
    if series(written) > series(VERSION):
        raise SpecError("", rule, where=str(path), hint="read it with that version")
    raise SpecError("", rule, where=str(path), hint=f"make it anew, with its settings: {again}")


def series(version: str) -> tuple[int, ...]:
    """Major and minor number of a version."""
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split(".")[:2])


def preset(name: str) -> Machine | Gpu | NotAtHand:
    """The preset of that name as it is now, if there is one."""
    try:
        return load_gpu(name) if is_gpu(name) else load_machine(name)
    except EinsimError:
        return NotAtHand()
