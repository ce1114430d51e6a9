"""Settings of a run: `key=value` pairs, some for the workload, the others for the machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from einsim.specs.errors import SpecError
from einsim.specs.near import near

MACHINE_PREFIX = "accel."
PLACE = "--set"
FIRST_THE_WORKLOADS = ("part",)
"""Keys of both that mean the workload's: a model's part, where an FPGA's machine has the chip's."""


def read_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """`key=value` texts as a dictionary; SpecError for one without `=`, without a key, or given twice."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, _, value = (part.strip() for part in pair.partition("="))
        if not key or not value:
            raise SpecError("", "must be key=value such as seq=4K", got=pair, where=PLACE)
        if key in settings:
            raise SpecError(key, "is set twice", got=value, where=PLACE)
        settings[key] = value
    return settings


def split(
    settings: Mapping[str, object], workload_keys: Collection[str], machine_keys: Collection[str]
) -> tuple[dict[str, object], dict[str, object]]:
    """(the workload's settings, the machine's), the machine's without their prefix.

    A key that the workload knows is the workload's; `accel.key` is always the machine's; any other key is the
    machine's when its first part is one of `machine_keys`. SpecError for a key that neither knows, or both
    (but for `FIRST_THE_WORKLOADS`).
    """
    workload: dict[str, object] = {}
    machine: dict[str, object] = {}
    tops = {key.split(".")[0] for key in machine_keys}
    for key, value in settings.items():
        if key.startswith(MACHINE_PREFIX):
            machine[key.removeprefix(MACHINE_PREFIX)] = value
        elif key in workload_keys and key in tops and key not in FIRST_THE_WORKLOADS:
            rule = f"both the workload and the machine have it; write {MACHINE_PREFIX}{key} for the machine's"
            raise SpecError(key, rule, where=PLACE)
        elif key in workload_keys:
            workload[key] = value
        elif key.split(".")[0] in tops:
            machine[key] = value
        else:
            known = [*workload_keys, *machine_keys]
            raise SpecError(
                key,
                "neither the workload nor the machine has such a setting",
                where=PLACE,
                hint=near(key, known),
            )
    return workload, machine
