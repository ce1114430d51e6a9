"""Results as JSON: the short object that `run --json` prints, and the whole one that a report reads back."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Final

import msgspec

from einsim.accel.gpu.machine import Gpu, gpu_names, load_gpu
from einsim.accel.load import load_machine, preset_names
from einsim.accel.machine import Machine
from einsim.dataflow.result import Result
from einsim.evaluation import Evaluation
from einsim.models.outcome import ModelResult, ModelTables
from einsim.report.case import NotAtHand
from einsim.sim.breakdown import STARTS, TEXTS
from einsim.specs.errors import EinsimError, SpecError
from einsim.specs.files import read_text, write_text
from einsim.specs.near import near
from einsim.version import VERSION

# The keys of `einsim run --json`, in this order: scripts rely on them (docs/cli.md).
SUMMARY = (
    "workload", "accel", "level", "cycles", "latency_s", "energy_j", "dram_bytes", "utilization", "stalls",
    "energy_by", "traffic", "mapping", "power_w", "tops", "tops_per_w",
    "area_mm2", "resources", "energy_stated_j", "energy_not_stated", "area_not_stated",
    "evidence",
)  # fmt: skip

FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Result)}
DERIVED: Final = {
    "energy_j": ("energy_by", "energy_not_stated"), "energy_stated_j": ("energy_by",),
    "power_w": ("latency_s", "energy_by", "energy_not_stated"), "tops": ("latency_s", "macs"),
    "tops_per_w": ("macs", "energy_by", "energy_not_stated"), "area_mm2": ("area_um2", "area_not_stated"),
}  # fmt: skip
"""Figures that are written beside those from which they follow."""
CAUSES: Final = (*TEXTS, STARTS)
"""What cycles are lost to, GPUs' kernels included."""
TABLES: Final = tuple(field.name for field in msgspec.structs.fields(ModelTables))
"""What a model's result has beside the figures of any."""
BESIDE: Final = ("machine", "version", "check", "searched", *TABLES)
"""Keys of a file that are no figures of the result."""
ROUNDING: Final = 1e-9
BEGINNING: Final = re.compile(rb'\s*\{\s*"workload"')
HEAD: Final = 4096
UNWRITTEN = "0.1.0"  # the last version that did not write its number into results


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What a file held: a result, with its machine where that is known."""

    result: Result
    machine: Machine | Gpu | NotAtHand
    tables: ModelTables | None = None


def summary(result: Result) -> dict[str, Any]:
    """The object that `run --json` prints."""
    whole = result.to_dict()
    return {**{key: whole[key] for key in SUMMARY}, "version": VERSION}


def write_saved(found: Evaluation | ModelResult, path: Path) -> None:
    """Write a whole result, a model's with its tables, and its machine as JSON."""
    figures = found.to_dict() if isinstance(found, ModelResult) else found.result.to_dict()
    machine = {"machine": msgspec.to_builtins(found.machine)} if isinstance(found.machine, Machine) else {}
    write_text(path, json.dumps({**figures, **machine, "version": VERSION}, indent=1) + "\n")


def is_result(path: Path) -> bool:
    """Whether a JSON file holds a result, whole or not, rather than, say, a model's configuration."""
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        if BEGINNING.match(head):
            return True
        data = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError, EinsimError):
        return False
    return isinstance(data, dict) and {"workload", "accel", "cycles"} <= data.keys()


def save_result(found: Evaluation | ModelResult, path: str | Path) -> None:
    """Keep a result, a model's with its tables, and its machine in a JSON file, which `load_result` and
    `einsim report` read.

    SpecError where it can't be written; what was there before stays then.
    """
    write_saved(found, Path(path))


def load_result(path: str | Path) -> Result:
    """The result of a file that `save_result`, `run -o` or `run --json` wrote.

    SpecError, with the way on, for a file that can't be read or isn't one, or that another version wrote.
    """
    return read_saved(Path(path)).result


def read_saved(path: Path) -> Saved:
    """As `load_result`, with the machine."""
    data = plain(path)
    if not isinstance(data, dict) or not {"workload", "accel", "cycles"} <= data.keys():
        raise SpecError("", "is not a result of einsim: no workload, accel and cycles", where=str(path))
    check_version(data, path)
    # The short object lacks what only pictures need; a report then leaves those pictures out.
    missing = {"stalls_by_unit": {}, "bottleneck": "", "bound_by": {}, "by_einsum": {}}
    kept = data.get("machine")
    given = {key: value for key, value in data.items() if key not in BESIDE}
    for key in given.keys() - FIELDS.keys() - DERIVED.keys():
        raise SpecError(key, "unknown key", where=str(path), hint=near(key, [*FIELDS, *DERIVED, *BESIDE]))
    figures = {key: value for key, value in given.items() if key in FIELDS}
    try:
        result = msgspec.convert({**missing, **figures, "resources": data.get("resources") or {}}, Result)
        machine = preset(result.accel) if kept is None else msgspec.convert(kept, Machine)
    except msgspec.ValidationError as error:
        raise SpecError("", f"is not a result of einsim: {error}", where=str(path)) from None
    check_figures(result, given, path)
    return Saved(result=result, machine=machine, tables=_tables(data, path))


def _tables(data: dict[str, Any], path: Path) -> ModelTables | None:
    """A model's tables; SpecError where a figure isn't one. None of another result."""
    if "parts" not in data:
        return None
    try:
        return msgspec.convert(data, ModelTables)
    except msgspec.ValidationError as error:
        raise SpecError("", f"is not a result of einsim: {error}", where=str(path)) from None


def plain(path: Path) -> Any:
    """The file's JSON; SpecError for what isn't JSON, a key that stands twice, a number without end."""
    text = read_text(path)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
            raise SpecError(twice, "key stands twice", where=str(path))
        return found

    def finite(number: str) -> float:
        if math.isfinite(value := float(number)):
            return value
        raise SpecError("", f"must hold finite numbers (got {number})", where=str(path))

    try:
        return json.loads(text, object_pairs_hook=once, parse_float=finite, parse_constant=finite)
    except json.JSONDecodeError as error:
        rule = f"is not a result of einsim: no JSON ({error.msg})"
        raise SpecError("", rule, where=f"{path}:{error.lineno}") from None
    except (ValueError, RecursionError):  # an integer of too many digits, lists too deep
        raise SpecError("", "is not a result of einsim: no JSON", where=str(path)) from None


def check_figures(result: Result, given: dict[str, Any], path: Path) -> None:
    """SpecError where figures contradict each other, or name what isn't known."""
    where = str(path)
    for unit, share in result.utilization.items():
        if share > 1 + ROUNDING:
            raise SpecError(f"utilization.{unit}", "must be <= 1", got=share, where=where)
    for cause in result.stalls:
        check_cause(f"stalls.{cause}", cause, where)
    for table in ("breakdown_by_unit", "stalls_by_unit"):
        for unit, reasons in getattr(result, table).items():
            for reason in reasons:
                check_cause(f"{table}.{unit}", reason.partition(":")[0], where)
    for unit, reasons in result.breakdown_by_unit.items():
        if sum(reasons.values()) != result.cycles:
            rule = f"must add up to the {result.cycles} cycles"
            raise SpecError(f"breakdown_by_unit.{unit}", rule, got=sum(reasons.values()), where=where)
    for key, figures in DERIVED.items():
        if not given.keys() >= {key, *figures}:  # the short object has them alone
            continue
        ours, theirs = getattr(result, key), given[key]
        number = isinstance(theirs, int | float) and not isinstance(theirs, bool)
        same = ours is theirs if ours is None or not number else math.isclose(ours, theirs, rel_tol=ROUNDING)
        if not same:
            raise SpecError(
                key,
                f"doesn't follow from {' and '.join(figures)}, which give {ours}",
                got=theirs,
                where=where,
            )


def check_cause(place: str, cause: str, where: str) -> None:
    """SpecError for a cause of lost cycles that isn't one of einsim's."""
    if cause not in CAUSES:
        raise SpecError(place, "unknown cause", got=cause, where=where, hint=near(cause, CAUSES))


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
    if name in gpu_names():
        return load_gpu(name)
    return load_machine(name) if name in preset_names() else NotAtHand()  # a name is never taken for a path
