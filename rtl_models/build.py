"""Builds a design once for every set of parameters and runs jobs on it.

Builds are kept in EINSIM_RTL_CACHE, or ~/.cache/einsim/rtl, in folders named by what went into them
(simulator, sources, parameters): a changed source builds anew, an unchanged one never does.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from einsim.rtl_models.bench.job import Job, Outcome, write_jobs
from einsim.rtl_models.design import Design
from einsim.rtl_models.simulator import Simulator, SimulatorError

TIMEOUT_S = 1800.0
"""No build or run of a grid takes longer, by far; a design that hangs its simulator does."""

ERROR = re.compile(r":\d+: .*(error|sorry)|^%Error|^ERROR")
"""How Icarus, Verilator and Yosys begin a line that tells a fault."""


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A design, built with these parameters by this simulator, in this folder."""

    design: Design
    parameters: dict[str, int]
    simulator: Simulator
    folder: Path


def cache_folder() -> Path:
    """Where builds are kept."""
    given = os.environ.get("EINSIM_RTL_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "einsim" / "rtl"


def build(
    design: Design,
    simulator: Simulator,
    parameters: Mapping[str, int] | None = None,
    *,
    sources: Sequence[Path] = (),
    folder: Path | None = None,
) -> Built:
    """The design on the simulator; `sources` in place of its own (mutants), in `folder` to keep no build.

    SimulatorError with the first message of the simulator when it does not build.
    """
    settings = design.settings(parameters or {})
    files = list(sources) or design.files()
    key = hashlib.sha256(repr((simulator.name, simulator.build_args, sorted(settings.items()))).encode())
    for file in files:
        key.update(file.read_bytes())
    folder = folder or cache_folder() / f"{design.name}-{simulator.name}-{key.hexdigest()[:16]}"
    built = Built(design=design, parameters=settings, simulator=simulator, folder=folder)
    if (folder / "built").exists():
        return built
    folder.mkdir(parents=True, exist_ok=True)
    call = (
        "build", [str(file) for file in files], design.name, settings, list(simulator.build_args),
        str(folder),
    )  # fmt: skip
    code, said = _runner(simulator, call, {}, TIMEOUT_S)
    if code != 0:
        raise SimulatorError(f"{design.name} does not build on {simulator.name}: {first_error(said)}")
    (folder / "built").touch()
    return built


def run_jobs(built: Built, jobs: Sequence[Job], *, timeout_s: float = TIMEOUT_S) -> list[Outcome]:
    """Run the jobs, one after the other in one simulation; one outcome a job.

    SimulatorError when the simulation itself fails, with its first message.
    """
    with tempfile.TemporaryDirectory(prefix="einsim-rtl-") as work:
        jobs_file, outcomes_file = Path(work, "jobs.json"), Path(work, "outcomes.json")
        write_jobs(jobs_file, list(jobs))
        extra = {
            "EINSIM_JOBS": str(jobs_file),
            "EINSIM_OUTCOMES": str(outcomes_file),
        }
        call = ("test", built.design.bench, built.design.name, str(built.folder), work)
        _, said = _runner(built.simulator, call, extra, timeout_s)
        if not outcomes_file.exists():
            raise SimulatorError(f"{built.design.name} on {built.simulator.name}: {first_error(said)}")
        return msgspec.json.decode(outcomes_file.read_bytes(), type=list[Outcome])


def run_bench(
    simulator: Simulator,
    sources: Sequence[Path],
    top: str,
    bench: str,
    folder: Path,
    parameters: Mapping[str, int] | None = None,
) -> list[str]:
    """Build any design and run any cocotb module on it; the failed tests' names, read from the results.

    For users' own testbenches: `bench` is importable from `folder`, where build and results go too.
    SimulatorError when it does not build or the simulation ends without results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    here = {"PYTHONPATH": str(folder)}
    files = [str(source) for source in sources]
    call = (
        "build",
        files,
        top,
        dict(parameters or {}),
        list(simulator.build_args),
        str(folder / "sim_build"),
    )
    code, said = _runner(simulator, call, here, TIMEOUT_S)
    if code != 0:
        raise SimulatorError(f"{top} does not build on {simulator.name}: {first_error(said)}")
    _, said = _runner(
        simulator, ("test", bench, top, str(folder / "sim_build"), str(folder)), here, TIMEOUT_S
    )
    if not (folder / "results.xml").exists():
        raise SimulatorError(f"{top} on {simulator.name}: {first_error(said)}")
    return failed_tests(folder / "results.xml")


def failed_tests(results: Path) -> list[str]:
    """Names of the tests that a results file says failed, with their messages."""
    from xml.etree import ElementTree

    tree = ElementTree.parse(results)  # noqa: S314
    failed = []
    for case in tree.iter("testcase"):
        fault = next((child for child in case if child.tag in {"failure", "error"}), None)
        if fault is not None:
            message = fault.get("message") or fault.get("error_msg") or "failed"
            failed.append(f"{case.get('name')}: {message.splitlines()[0]}")
    return failed


def first_error(text: str) -> str:
    """The first line of a log that speaks of an error, or its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if ERROR.search(line):
            return line
    return lines[-1] if lines else "no output"


def _runner(
    simulator: Simulator, call: tuple[object, ...], extra: Mapping[str, str], timeout_s: float
) -> tuple[int, str]:
    """Cocotb's runner in a process of its own (it changes environment and folder): exit code and log."""
    root = str(Path(__file__).absolute().parents[2])  # the folder that holds einsim, links kept
    parts = (root, extra.get("PYTHONPATH"), os.environ.get("PYTHONPATH"))
    path = os.pathsep.join(part for part in parts if part)
    environment = {**os.environ, **simulator.environment, **extra, "PYTHONPATH": path}
    environment.pop("PYTEST_CURRENT_TEST", None)
    arguments = msgspec.json.encode([simulator.name, *call]).decode()
    with subprocess.Popen(
        [sys.executable, "-m", "einsim.rtl_models.build", arguments], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            said, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise SimulatorError(f"{simulator.name} did not end within {timeout_s:g} s") from None
        finally:
            if process.poll() is None:  # the simulator is the runner's child: end the whole session
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def _work(simulator: str, action: str, *call: object) -> None:
    """What the process of `_runner` does."""
    from cocotb_tools.runner import get_runner

    logging.disable(logging.INFO)
    runner = get_runner(simulator)
    if action == "build":
        files, top, parameters, build_args, folder = msgspec.convert(
            call, tuple[list[str], str, dict[str, object], list[str], str]
        )
        runner.build(
            sources=list(files), hdl_toplevel=top, parameters=parameters, build_args=list(build_args),
            build_dir=folder, always=True, timescale=("1ns", "1ps"),
        )  # fmt: skip
    else:
        bench, top, folder, work = msgspec.convert(call, tuple[str, str, str, str])
        runner.test(
            test_module=bench, hdl_toplevel=top, hdl_toplevel_lang="verilog", build_dir=folder,
            test_dir=work, results_xml=f"{work}/results.xml",
        )  # fmt: skip


if __name__ == "__main__":
    _work(*msgspec.json.decode(sys.argv[1]))
