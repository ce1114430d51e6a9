"""The library of cascades by name: `build(name, **given)`, `names()`, `parameters(name)`, `summary(name)`."""

from __future__ import annotations

from typing import Final

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.specs.registry import Registry
from einsim.workloads.cascade import Cascade
from einsim.workloads.library import attention, convolution, ffn, layer, norm, product, training
from einsim.workloads.library.workload import Workload
from einsim.workloads.models.names import MODEL_CHOICES
from einsim.workloads.settings import Parameter, read_settings

_MODULES = (attention, ffn, product, training, layer, convolution, norm)
WORKLOADS: Final[Registry[Workload]] = Registry(
    "workload",
    {workload.name: workload for module in _MODULES for workload in module.WORKLOADS},
    reserved=lambda: MODEL_CHOICES,
)


def names() -> tuple[str, ...]:
    """Names of the library's cascades."""
    return tuple(WORKLOADS)


def entry(name: str) -> Workload:
    """SpecError for an unknown name."""
    if name not in WORKLOADS:
        raise SpecError("workload", f"unknown workload '{name}'", hint=near(name, WORKLOADS))
    return WORKLOADS[name]


def parameters(name: str) -> tuple[Parameter, ...]:
    """What can be set, with defaults and one line each."""
    return entry(name).parameters


def summary(name: str) -> str:
    """One line on what it is."""
    return entry(name).summary


def build(name: str, **given: object) -> Cascade:
    """The cascade; parameters are Python values or text such as "4K". SpecError for a bad one."""
    workload = entry(name)
    return workload.build(read_settings(workload.parameters, given, name))
