"""einsim: what a cascade of Einsums costs on an accelerator, which mapping gets there, and why.

Every public name stands here once and is imported when it is first used, so that `import einsim` and
`einsim --help` are quick. What functions are given is checked on the way (`einsim.public`).
"""

from __future__ import annotations

from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING

from einsim.absent import explain_absent
from einsim.version import VERSION

if TYPE_CHECKING:
    from einsim.accel.families.buffered import BufferedFamily as BufferedFamilySpec
    from einsim.accel.gpu.machine import Gpu, gpu_names, load_gpu
    from einsim.accel.load import load_machine, preset_names
    from einsim.accel.machine import Machine, OpCost, Unit
    from einsim.accel.memory import Memory
    from einsim.accel.written import (
        Count,
        WrittenFamily as FamilySpec,
        WrittenLanes as LanesSpec,
        WrittenPort as PortSpec,
    )
    from einsim.dataflow.analytical import analyse
    from einsim.dataflow.effort import Effort
    from einsim.dataflow.legality import check as check_mapping
    from einsim.dataflow.lower import lower
    from einsim.dataflow.mapper.best import Answer, best_mapping
    from einsim.dataflow.mapper.explain import Explanation, explain
    from einsim.dataflow.mapper.objective import Objective
    from einsim.dataflow.mapper.space import MapSpace
    from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Pipeline, Sequence
    from einsim.dataflow.mapping_file import dump_mapping, load_mapping
    from einsim.dataflow.mapping_text import mapping_text
    from einsim.dataflow.result import EinsumCost, Result
    from einsim.dataflow.templates import build_mapping, template_names
    from einsim.evaluation import Evaluation, Level, evaluate
    from einsim.extend import (
        register_dram_standard,
        register_family,
        register_op,
        register_section,
        register_template,
        register_workload,
    )
    from einsim.models.judge import evaluate_model
    from einsim.models.outcome import ModelResult
    from einsim.precision import Accuracy, accuracy
    from einsim.report.card import card as report_picture
    from einsim.report.case import Case
    from einsim.report.comparison import comparison
    from einsim.report.markup import table as html_table, text as html_text
    from einsim.report.page import page as report_page
    from einsim.saved import load_result, save_result
    from einsim.sim.breakdown import breakdown
    from einsim.sim.engine import simulate
    from einsim.specs.errors import EinsimError, RuleError, SpecError
    from einsim.specs.units import Bytes
    from einsim.sweeping import sweep
    from einsim.validation.papers.fusemax import published
    from einsim.workloads.cascade import Cascade
    from einsim.workloads.execute import execute
    from einsim.workloads.load import load_workload, workload_names
    from einsim.workloads.notation import parse as parse_cascade
    from einsim.workloads.passes import passes
    from einsim.workloads.settings import Parameter, Settings

__version__ = VERSION

# name -> the module that defines it, and after a colon its name there where that is another
_HOMES = {
    "Accuracy": "einsim.precision",
    "Answer": "einsim.dataflow.mapper.best",
    "BufferedFamilySpec": "einsim.accel.families.buffered:BufferedFamily",
    "Bytes": "einsim.specs.units",
    "Cascade": "einsim.workloads.cascade",
    "Case": "einsim.report.case",
    "Compute": "einsim.dataflow.mapping",
    "Count": "einsim.accel.written",
    "Effort": "einsim.dataflow.effort",
    "EinsimError": "einsim.specs.errors",
    "EinsumCost": "einsim.dataflow.result",
    "Evaluation": "einsim.evaluation",
    "Explanation": "einsim.dataflow.mapper.explain",
    "FamilySpec": "einsim.accel.written:WrittenFamily",
    "Gpu": "einsim.accel.gpu.machine",
    "Keep": "einsim.dataflow.mapping",
    "LanesSpec": "einsim.accel.written:WrittenLanes",
    "Level": "einsim.evaluation",
    "Loop": "einsim.dataflow.mapping",
    "Machine": "einsim.accel.machine",
    "MapSpace": "einsim.dataflow.mapper.space",
    "Mapping": "einsim.dataflow.mapping",
    "ModelResult": "einsim.models.outcome",
    "Memory": "einsim.accel.machine",
    "Objective": "einsim.dataflow.mapper.objective",
    "OpCost": "einsim.accel.machine",
    "Parameter": "einsim.workloads.settings",
    "Pipeline": "einsim.dataflow.mapping",
    "PortSpec": "einsim.accel.written:WrittenPort",
    "Result": "einsim.dataflow.result",
    "RuleError": "einsim.specs.errors",
    "Sequence": "einsim.dataflow.mapping",
    "Settings": "einsim.workloads.settings",
    "SpecError": "einsim.specs.errors",
    "Unit": "einsim.accel.machine",
    "accuracy": "einsim.precision",
    "analyse": "einsim.dataflow.analytical",
    "best_mapping": "einsim.dataflow.mapper.best",
    "breakdown": "einsim.sim.breakdown",
    "build_mapping": "einsim.dataflow.templates",
    "check_mapping": "einsim.dataflow.legality:check",
    "comparison": "einsim.report.comparison",
    "dump_mapping": "einsim.dataflow.mapping_file",
    "evaluate": "einsim.evaluation",
    "evaluate_model": "einsim.models.judge",
    "execute": "einsim.workloads.execute",
    "explain": "einsim.dataflow.mapper.explain",
    "gpu_names": "einsim.accel.gpu.machine",
    "html_table": "einsim.report.markup:table",
    "html_text": "einsim.report.markup:text",
    "load_gpu": "einsim.accel.gpu.machine",
    "load_machine": "einsim.accel.load",
    "load_mapping": "einsim.dataflow.mapping_file",
    "load_result": "einsim.saved",
    "load_workload": "einsim.workloads.load",
    "lower": "einsim.dataflow.lower",
    "mapping_text": "einsim.dataflow.mapping_text",
    "parse_cascade": "einsim.workloads.notation:parse",
    "passes": "einsim.workloads.passes",
    "preset_names": "einsim.accel.load",
    "published": "einsim.validation.papers.fusemax",
    "register_dram_standard": "einsim.extend",
    "register_family": "einsim.extend",
    "register_op": "einsim.extend",
    "register_section": "einsim.extend",
    "register_template": "einsim.extend",
    "register_workload": "einsim.extend",
    "report_page": "einsim.report.page:page",
    "report_picture": "einsim.report.card:card",
    "save_result": "einsim.saved",
    "simulate": "einsim.sim.engine",
    "sweep": "einsim.sweeping",
    "template_names": "einsim.dataflow.templates",
    "workload_names": "einsim.workloads.load",
}

__all__ = [
    "Accuracy",
    "Answer",
    "BufferedFamilySpec",
    "Bytes",
    "Cascade",
    "Case",
    "Compute",
    "Count",
    "Effort",
    "EinsimError",
    "EinsumCost",
    "Evaluation",
    "Explanation",
    "FamilySpec",
    "Gpu",
    "Keep",
    "LanesSpec",
    "Level",
    "Loop",
    "Machine",
    "MapSpace",
    "Mapping",
    "Memory",
    "ModelResult",
    "Objective",
    "OpCost",
    "Parameter",
    "Pipeline",
    "PortSpec",
    "Result",
    "RuleError",
    "Sequence",
    "Settings",
    "SpecError",
    "Unit",
    "accuracy",
    "analyse",
    "best_mapping",
    "breakdown",
    "build_mapping",
    "check_mapping",
    "comparison",
    "dump_mapping",
    "evaluate",
    "evaluate_model",
    "execute",
    "explain",
    "gpu_names",
    "html_table",
    "html_text",
    "load_gpu",
    "load_machine",
    "load_mapping",
    "load_result",
    "load_workload",
    "lower",
    "mapping_text",
    "parse_cascade",
    "passes",
    "preset_names",
    "published",
    "register_dram_standard",
    "register_family",
    "register_op",
    "register_section",
    "register_template",
    "register_workload",
    "report_page",
    "report_picture",
    "save_result",
    "simulate",
    "sweep",
    "template_names",
    "workload_names",
]


explain_absent()


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'einsim' has no attribute '{name}'")
    module, _, its_name = _HOMES[name].partition(":")
    value: object = getattr(import_module(module), its_name or name)
    if isinstance(value, FunctionType):
        value = import_module("einsim.public").public(name, value, __getattr__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
