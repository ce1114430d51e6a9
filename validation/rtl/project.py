"""A ready RTL project of a machine's array: sources with its parameters, testbench, golden jobs, Makefile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine, Unit
from einsim.rtl_models.bench.job import Job, write_jobs
from einsim.rtl_models.design import Design, find_design
from einsim.rtl_models.fusemax.model import fusemax_parameters
from einsim.rtl_models.fusemax.runs import attention_jobs
from einsim.rtl_models.nm_chain.model import chain_parameters
from einsim.rtl_models.nm_chain.runs import chain_jobs
from einsim.rtl_models.systolic.model import systolic_parameters
from einsim.rtl_models.systolic.runs import GROUP, array_jobs, rtl_of, sparse_jobs
from einsim.sim.arrays.dsp_chain import ChainSpec
from einsim.sim.arrays.fusemax import FuseMaxSpec
from einsim.sim.arrays.gemm import DATAFLOWS, ArraySpec
from einsim.specs.errors import EinsimError, RuleError
from einsim.specs.files import replacing, write_text

LARGEST_RUN: Final = 8
"""Rows and columns that the golden jobs run at most: an interpreted 128 x 128 takes hours."""
CHAIN: Final = 16
"""DSP slices of a chain at most, of which as many divide the columns: FlightLLM's, as in accel/presets."""


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """The design, its parameters in the machine, those that the jobs run with, and the jobs."""

    design: Design
    unit: str
    parameters: dict[str, int]
    run_parameters: dict[str, int]
    jobs: list[Job]


def emit(accel: str, folder: Path, *, unit: str = "") -> Project:
    """Write the project of a machine's matrix unit (the first, or the named one) into a new folder.

    EinsimError when the folder holds something; SpecError or RuleError for what isn't there.
    """
    project = plan(load_machine(accel), unit)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EinsimError(f"{folder}: is there already and not an empty folder; name a new one")
    with replacing(folder) as part:
        (part / "rtl").mkdir(parents=True)
        for file in project.design.files():
            text = file.read_text(encoding="utf-8")
            if file == project.design.files()[-1]:
                text = with_defaults(text, project.parameters)
            write_text(part / "rtl" / file.name, text)
        write_jobs(part / "jobs.json", project.jobs)
        parameters = msgspec.json.format(msgspec.json.encode(project.run_parameters))
        (part / "parameters.json").write_bytes(parameters)
        write_text(part / "test_array.py", TESTBENCH.format(design=project.design.name))
        write_text(part / "Makefile", MAKEFILE)
        write_text(part / "README.md", readme(accel, project))
    return project


def plan(machine: Machine, unit: str = "") -> Project:
    """Which design a unit is, and with what parameters."""
    if not unit and not machine.matrix_units:
        raise RuleError("has no array, and RTL is there for arrays", got=machine.name)
    chosen = machine.unit(unit) if unit else machine.matrix_units[0]
    if chosen.kind == "vector":
        raise RuleError("is a vector unit, RTL is there for arrays", got=chosen.name)
    if not {"rows", "cols"} <= chosen.dims.keys():
        rule = f"has {' x '.join(chosen.dims)}, RTL is there for arrays of rows x cols"
        raise RuleError(rule, got=chosen.name)
    if not chosen.supports("mac"):
        raise RuleError("has no mac, and the arrays that RTL is there for have", got=chosen.name)
    rows, cols = chosen.dims["rows"], chosen.dims["cols"]
    small_rows, small_cols = min(rows, LARGEST_RUN), min(cols, LARGEST_RUN)
    if chosen.kind == "dsp-chain":
        length = max(length for length in range(1, CHAIN + 1) if cols % length == 0)
        full_chain = ChainSpec(rows=rows, cols=cols // length, length=length)
        run_chain = ChainSpec(rows=min(2, rows), cols=min(2, full_chain.cols), length=length)
        return Project(
            design=find_design("nm_chain"), unit=chosen.name, parameters=chain_parameters(full_chain),
            run_parameters=chain_parameters(run_chain), jobs=chain_jobs(run_chain),
        )  # fmt: skip
    if chosen.kind == "array" and chosen.supports("exp"):
        full_fused = FuseMaxSpec(rows=rows, cols=cols, depth=2)
        run_fused = FuseMaxSpec(rows=small_rows, cols=small_cols, depth=2)
        return Project(
            design=find_design("fusemax_array"), unit=chosen.name, parameters=fusemax_parameters(full_fused),
            run_parameters=fusemax_parameters(run_fused), jobs=attention_jobs(run_fused),
        )  # fmt: skip
    known = [each for each in DATAFLOWS if each in chosen.dataflows]
    dataflow = known[0] if known else DATAFLOWS[0]
    group = GROUP if sparse(chosen) else 1
    full = ArraySpec(rows=rows, cols=cols, dataflow=dataflow)
    run = ArraySpec(rows=small_rows, cols=small_cols, dataflow=dataflow)
    jobs = array_jobs(run, group, 4) + (sparse_jobs(run) if group > 1 else [])
    return Project(
        design=find_design(rtl_of(dataflow)), unit=chosen.name,
        parameters=systolic_parameters(full, group=group),
        run_parameters=systolic_parameters(run, group=group), jobs=jobs,
    )  # fmt: skip


def sparse(unit: Unit) -> bool:
    """Whether the unit exploits an N:M pattern."""
    return any(re.fullmatch(r"n:m|\d+:\d+", pattern) for pattern in unit.exploits)


def with_defaults(text: str, parameters: dict[str, int]) -> str:
    """The top module with these parameters as its defaults."""
    for name, value in parameters.items():
        text = re.sub(rf"parameter int {name} = \d+", f"parameter int {name} = {value}", text, count=1)
    return text


def readme(accel: str, project: Project) -> str:
    """What the project is, in a page."""
    full = ", ".join(f"{name} = {value}" for name, value in project.parameters.items())
    run = ", ".join(f"{name} = {value}" for name, value in project.run_parameters.items())
    return README.format(
        accel=str(EinsimError(accel)), unit=project.unit, about=project.design.about,
        design=project.design.name, full=full, run=run, jobs=len(project.jobs),
    )  # fmt: skip


TESTBENCH: Final = '''\
"""Runs the golden jobs on the RTL beside this file: every cycle and every bit is einsim's."""

import json
import sys
from pathlib import Path

from einsim.rtl_models.bench.job import read_jobs
from einsim.rtl_models.build import build, run_jobs
from einsim.rtl_models.design import find_design
from einsim.rtl_models.simulator import choose

HERE = Path(__file__).resolve().parent
DESIGN = find_design("{design}")


def main(simulator: str = "") -> int:
    """Build, run, and print one line a job; 1 when one differs."""
    sources = [HERE / "rtl" / file.name for file in DESIGN.files()]
    parameters = json.loads((HERE / "parameters.json").read_text())
    built = build(DESIGN, choose(simulator), parameters, sources=sources)
    outcomes = run_jobs(built, read_jobs(HERE / "jobs.json"))
    for outcome in outcomes:
        found = outcome.difference or "exact"
        print(f"{{outcome.name}}: {{outcome.clocks}} clocks, {{outcome.events}} results: {{found}}")
    return 0 if all(outcome.ok for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
'''

MAKEFILE: Final = """\
# `make test` runs the golden jobs on the RTL. SIM: icarus or verilator; PYTHON has einsim[rtl].
PYTHON ?= python
SIM ?=

.PHONY: test
test:
\t@$(PYTHON) test_array.py $(SIM)
"""

README: Final = """# {unit} of {accel}: {about}

`rtl/` holds the design, top module `{design}`. Its defaults are the machine's array:
{full}.

`make test` builds it with {run} (an interpreted simulator runs no larger array in reasonable time) and
holds {jobs} golden jobs against it, cycle by cycle and bit by bit. `jobs.json` was made by einsim's stepped
model: words for every stream, results with their cycle, working elements of every cycle.
Change `rtl/` as you like: a difference is told with cycle, element and operands.
"""
