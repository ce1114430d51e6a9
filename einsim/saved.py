"""Results as JSON: the short object that `run --json` prints, and the whole one that a report reads back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.result import Result
from einsim.evaluation import Evaluation, Mapped
from einsim.report.case import NotAtHand
from einsim.specs.errors import EinsimError, SpecError
from einsim.work import macs

# The keys of `einsim run --json`, in this order: scripts rely on them (docs/cli.md).
SUMMARY = (
    "workload", "accel", "level", "cycles", "latency_s", "energy_j", "dram_bytes", "utilization", "stalls",
    "energy_by", "traffic", "mapping",
)  # fmt: skip


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What a file held: a result, with its machine and multiply-accumulates where they are known."""

    result: Result
    machine: Machine | NotAtHand
    macs: int = 0


def summary(result: Result) -> dict[str, Any]:
    """The object that `run --json` prints."""
    whole = result.to_json()
    return {key: whole[key] for key in SUMMARY}


def saved(found: Evaluation) -> dict[str, Any]:
    """The whole result with its machine, as plain data."""
    machine = {"machine": msgspec.to_builtins(found.machine)} if isinstance(found.how, Mapped) else {}
    return {**found.result.to_json(), **machine, "macs": macs(found.cascade)}


def is_result(path: Path) -> bool:
    """Whether a JSON file holds a result rather than, say, a model's configuration."""
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and {"workload", "accel", "cycles"} <= data.keys()


def read_saved(path: Path) -> Saved:
    """A result from a file that `run --json` or `run -o` wrote; SpecError for one that isn't."""
    data = json.loads(path.read_text(encoding="utf-8"))
    # The short object lacks what only pictures need; a report then leaves those pictures out.
    missing = {"stalls_by_unit": {}, "bottleneck": "", "bound_by": {}, "by_einsum": {}}
    machine, work = data.pop("machine", None), data.pop("macs", 0)
    try:
        result = msgspec.convert({**missing, **data}, Result)
        kept = preset(result.accel) if machine is None else msgspec.convert(machine, Machine)
        return Saved(result=result, machine=kept, macs=msgspec.convert(work, int))
    except msgspec.ValidationError as error:
        raise SpecError("", f"is not a result of einsim: {error}", where=str(path)) from None


def preset(name: str) -> Machine | NotAtHand:
    """The preset of that name as it is now, if there is one."""
    try:
        return load_machine(name)
    except EinsimError:
        return NotAtHand()
