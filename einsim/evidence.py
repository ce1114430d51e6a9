"""Evidence of a prediction: what was measured of its machine and kind of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from einsim.accel.gpu.machine import Gpu
from einsim.accel.load import load_machine, preset_names
from einsim.accel.machine import Machine
from einsim.validation.evidence import lines_of
from einsim.workloads.cascade import Cascade
from einsim.workloads.models.language import DECODE
from einsim.workloads.recognised import attentions

KERNELS: Final = "kernels"


@lru_cache(maxsize=1024)
def kind_of(cascade: Cascade) -> str:
    """What kind of work a cascade is, as rows of measurements are grouped: by what it computes."""
    if attentions(cascade, 1) or attentions(cascade, 3):
        return "attention"
    products = [einsum for einsum in cascade.einsums if einsum.contracts]
    sliding = any(len(index.ranks) > 1 for one in products for read in one.reads for index in read.indices)
    if sliding:
        return "layers"
    return {0: "other", 1: "gemm"}.get(len(products), "ffn")


def kind_of_model(phases: Sequence[str]) -> str:
    """What kind of work a whole model is, by its phases."""
    return "language models" if DECODE in phases else "networks"


def evidence_of(
    given: str | Path | Machine | Gpu, machine: Machine | Gpu, changed: Mapping[str, object], kind: str
) -> tuple[str, ...]:
    """What a result says of measurements: of the machine that was `given`, with figures `changed` in it."""
    if isinstance(machine, Gpu):
        return lines_of(machine.name, "gpu", KERNELS, as_it_is=not changed)
    if isinstance(given, Machine):
        as_it_is = given.name in preset_names() and given == load_machine(given.name)
    else:
        as_it_is = str(given) in preset_names() and not changed
    return lines_of(machine.name, machine.family, kind, as_it_is=as_it_is)
