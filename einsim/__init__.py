"""einsim: what a cascade of Einsums costs on an accelerator, which mapping gets there, and why.

Every public name stands here once and is imported when it is first used, so that `import einsim` and
`einsim --help` are quick.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from einsim.shadow import shadowed

if TYPE_CHECKING:
    from accel.load import load_machine, preset_names
    from accel.machine import Machine
    from dataflow.analytical import analyse
    from dataflow.lower import lower
    from dataflow.mapping_file import load_mapping
    from dataflow.result import Result
    from dataflow.templates import build_mapping, template_names
    from einsim.evaluation import evaluate
    from sim.engine import simulate
    from specs.errors import EinsimError, SpecError
    from workloads.cascade import Cascade

__version__ = "0.1.0"

_HOMES = {
    "Cascade": "workloads.cascade",
    "EinsimError": "specs.errors",
    "Machine": "accel.machine",
    "Result": "dataflow.result",
    "SpecError": "specs.errors",
    "analyse": "dataflow.analytical",
    "build_mapping": "dataflow.templates",
    "evaluate": "einsim.evaluation",
    "load_machine": "accel.load",
    "load_mapping": "dataflow.mapping_file",
    "lower": "dataflow.lower",
    "preset_names": "accel.load",
    "simulate": "sim.engine",
    "template_names": "dataflow.templates",
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

_hidden = shadowed()
if _hidden:
    # The command line promises one line and exit code 2; a program that imports einsim gets an ImportError.
    if Path(sys.argv[0]).stem == "einsim" or sys.argv[0] == "-m":
        sys.stderr.write(f"error: {_hidden}\n")
        raise SystemExit(2)
    raise ImportError(_hidden)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'einsim' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
