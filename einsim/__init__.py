"""einsim: what a cascade of Einsums costs on an accelerator, which mapping gets there, and why.

Every public name stands here once and is imported when it is first used, so that `import einsim` and
`einsim --help` are quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from einsim.old_names import explain_old_names

if TYPE_CHECKING:
    from einsim.accel.load import load_machine, preset_names
    from einsim.accel.machine import Machine
    from einsim.dataflow.analytical import analyse
    from einsim.dataflow.lower import lower
    from einsim.dataflow.mapping_file import load_mapping
    from einsim.dataflow.result import Result
    from einsim.dataflow.templates import build_mapping, template_names
    from einsim.evaluation import evaluate
    from einsim.sim.engine import simulate
    from einsim.specs.errors import EinsimError, SpecError
    from einsim.workloads.cascade import Cascade

__version__ = "0.2.0"

_HOMES = {
    "Cascade": "einsim.workloads.cascade",
    "EinsimError": "einsim.specs.errors",
    "Machine": "einsim.accel.machine",
    "Result": "einsim.dataflow.result",
    "SpecError": "einsim.specs.errors",
    "analyse": "einsim.dataflow.analytical",
    "build_mapping": "einsim.dataflow.templates",
    "evaluate": "einsim.evaluation",
    "load_machine": "einsim.accel.load",
    "load_mapping": "einsim.dataflow.mapping_file",
    "lower": "einsim.dataflow.lower",
    "preset_names": "einsim.accel.load",
    "simulate": "einsim.sim.engine",
    "template_names": "einsim.dataflow.templates",
}

__all__ = [
    "Cascade",
    "EinsimError",
    "Machine",
    "Result",
    "SpecError",
    "analyse",
    "build_mapping",
    "evaluate",
    "load_machine",
    "load_mapping",
    "lower",
    "preset_names",
    "simulate",
    "template_names",
]


explain_old_names()


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'einsim' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
