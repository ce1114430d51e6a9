"""Loads a machine: a preset by name or a YAML file, with overrides, strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from einsim.accel import generic, provenance
from einsim.accel.families import dpu, fpga_dsp, npu, spatial_array
from einsim.accel.fitted import FittedConstant
from einsim.accel.gpu.machine import gpu_names
from einsim.accel.machine import Machine
from einsim.accel.written import WrittenMachine
from einsim.specs.argument import Setting
from einsim.specs.document import Document
from einsim.specs.errors import MISSING, RuleError, SpecError, dotted
from einsim.specs.loader import decode, load_yaml, override
from einsim.specs.near import near
from einsim.specs.registry import Registry

_PRESETS: Final = Path(__file__).parent / "presets"
_ROOT: Final = "accel"


class Family(msgspec.Struct, frozen=True):
    """`spec` is the form of the family's YAML; `derive` makes the machine of it, by the file's name."""

    spec: type[WrittenMachine]
    derive: Callable[[Any, str], Machine]


FAMILIES: Final = Registry(
    "family",
    {
        "spatial-array": Family(spatial_array.SpatialArray, spatial_array.derive),
        "fpga-dsp": Family(fpga_dsp.FpgaDsp, fpga_dsp.derive),
        "npu": Family(npu.Npu, npu.derive),
        "dpu": Family(dpu.Dpu, dpu.derive),
    },
    reserved=lambda: ("generic", "gpu"),
)
"""Families by the name that a machine's YAML gives as `family`."""
GENERIC: Final = Family(generic.Generic, generic.derive)
"""A machine written out in full, with `machine` in the place of `family`."""


@cache
def preset_names() -> tuple[str, ...]:
    """Names of the machines that come with einsim, sorted."""
    return tuple(sorted(path.stem for path in _PRESETS.glob("*.yaml")))


def load_machine(name_or_path: str | Path, overrides: Mapping[str, Setting] | None = None) -> Machine:
    """The machine of a preset name or of a YAML file, with overrides applied before it is judged.

    `overrides` are what `--set` takes, by the dotted paths of the YAML: `{"array.rows": 64, "dram.bandwidth":
    "100GB/s"}`; text is read as YAML. SpecError for anything unknown, missing, out of range or that does not
    fit its part.
    """
    document, name = _read(str(name_or_path))
    for key, value in (overrides or {}).items():
        document = override(document, key, value)
    try:
        machine = _build(document, name)
    except RuleError as error:
        raise document.error(error.at, error.rule, got=error.got, hint=error.hint, root=_ROOT) from None
    provenance.check(
        document, document.data.get("sources", {}), document.data.get("assumed", []),
        document.data.get("fitted", {}),
    )  # fmt: skip
    typed = {dotted(path): "set by the user" for path in document.flags}
    return msgspec.structs.replace(machine, sources={**machine.sources, **typed}) if typed else machine


def fitted_of(name_or_path: str | Path) -> dict[str, FittedConstant]:
    """What of a machine's file was fitted on measured rows, by dotted path; SpecError as `load_machine`."""
    document, _ = _read(str(name_or_path))
    return decode(document, _FittedSection, _ROOT).fitted


class _FittedSection(msgspec.Struct):
    """The one section, whatever else a file has."""

    fitted: dict[str, FittedConstant] = {}


def _read(name_or_path: str) -> tuple[Document, str]:
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} or path.name != name_or_path:
        return load_yaml(path), path.stem
    if name_or_path in gpu_names():
        rule = (
            "is a GPU, which runs kernels as they are: `einsim run` and `einsim report` take it, nothing else"
        )
        raise SpecError("accel", rule, got=name_or_path)
    if name_or_path not in preset_names():
        known = near(name_or_path, (*preset_names(), *gpu_names()))
        raise SpecError(
            "accel", "unknown accelerator (a preset name or a .yaml file)", got=name_or_path, hint=known
        )
    return load_yaml(_PRESETS / f"{name_or_path}.yaml", f"{name_or_path}.yaml"), name_or_path


def _build(document: Document, name: str) -> Machine:
    if "machine" in document.data:
        return GENERIC.derive(decode(document, GENERIC.spec, _ROOT), name)
    family = document.value(("family",))
    if family is MISSING:
        raise document.error(
            (), "missing key 'family' (or 'machine' for one written out in full)", root=_ROOT
        )
    if not isinstance(family, str) or family not in FAMILIES:
        hint = near(family, FAMILIES)
        raise document.error(("family",), "unknown family", got=family, hint=hint, root=_ROOT)
    return FAMILIES[family].derive(decode(document, FAMILIES[family].spec, _ROOT), name)
