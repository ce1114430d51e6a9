"""Laws of building and running: builds are kept, faults are told in one line."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from einsim.rtl_models import simulator
from einsim.rtl_models.build import build, failed_tests, first_error, run_jobs
from einsim.rtl_models.design import find_design
from einsim.rtl_models.simulator import SimulatorError, choose
from einsim.rtl_models.systolic.model import systolic_job, systolic_parameters
from einsim.sim.arrays.gemm import ArraySpec

ARRAY = ArraySpec(rows=2, cols=2, dataflow="output-stationary")


def test_an_unchanged_design_is_built_once(tmp_path, monkeypatch):
    monkeypatch.setenv("EINSIM_RTL_CACHE", str(tmp_path))
    design, parameters = find_design("systolic_os"), systolic_parameters(ARRAY)
    first = build(design, choose("icarus"), parameters)
    made = (first.folder / "built").stat().st_mtime_ns
    assert build(design, choose("icarus"), parameters).folder == first.folder
    assert (first.folder / "built").stat().st_mtime_ns == made
    assert build(design, choose("icarus"), {**parameters, "R": 3}).folder != first.folder
    job = systolic_job(ARRAY, np.ones((2, 3), int), np.ones((3, 2), int))
    [outcome] = run_jobs(first, [job])
    assert outcome.ok
    assert outcome.events == 4


def test_a_difference_names_cycle_element_and_operands():
    job = systolic_job(ARRAY, np.ones((2, 3), int), np.ones((3, 2), int))
    events = [
        type(event)(
            cycle=event.cycle,
            lane=event.lane,
            value=event.value + (i == 0),
            where=event.where,
            operands=event.operands,
        )
        for i, event in enumerate(job.events)
    ]
    wrong = type(job)(
        name="wrong",
        config=job.config,
        streams=job.streams,
        events=events,
        active=job.active,
        cycles=job.cycles,
        clocks=job.clocks,
    )
    [outcome] = run_jobs(
        build(find_design("systolic_os"), choose("icarus"), systolic_parameters(ARRAY)), [wrong]
    )
    assert outcome.differences == 1
    assert outcome.difference == (
        "cycle 2 PE (0, 0), tile 0, out[0, 0]: got 3, expected 4; a = [1, 1, 1], b = [1, 1, 1]"
    )


def test_a_design_that_does_not_build_says_why_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("EINSIM_RTL_CACHE", str(tmp_path))
    broken = tmp_path / "broken.sv"
    broken.write_text("module systolic_os; this is no Verilog endmodule")
    with pytest.raises(SimulatorError, match=r"systolic_os does not build on icarus: .*broken.sv:1") as told:
        build(find_design("systolic_os"), choose("icarus"), sources=[broken])
    assert "\n" not in str(told.value)


def test_without_a_simulator_one_line_says_how_to_get_one(monkeypatch):
    monkeypatch.setattr(simulator, "available", list)
    with pytest.raises(SimulatorError, match="no RTL simulator found; run: apt-get install iverilog"):
        choose()


def test_the_results_file_is_read_for_failures(tmp_path):
    results = tmp_path / "results.xml"
    results.write_text(
        '<testsuites><testsuite><testcase name="good"/><testcase name="bad">'
        '<failure message="cycle 3"/></testcase></testsuite></testsuites>'
    )
    assert failed_tests(results) == ["bad: cycle 3"]


def test_the_first_error_of_a_log_is_found():
    assert first_error("fine\nx.sv:3: error: no\nx.sv:4: error: more") == "x.sv:3: error: no"
    assert first_error("a\nb\n") == "b"


def test_a_run_that_is_out_of_time_is_ended_and_leaves_nothing_open():
    built = build(find_design("systolic_os"), choose("icarus"), systolic_parameters(ARRAY))
    job = systolic_job(ARRAY, np.ones((2, 3), int), np.ones((3, 2), int))
    with pytest.raises(SimulatorError, match=r"icarus did not end within 0\.01 s"):
        run_jobs(built, [job], timeout_s=0.01)
    gc.collect()  # a pipe left open would warn here, and warnings are errors
