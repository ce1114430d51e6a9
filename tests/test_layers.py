"""Folders are floors of a house: imports run downward only, and neighbours don't know each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FLOORS = {
    "specs": 1,
    "workloads": 2,
    "accel": 2,
    "dataflow": 3,
    "sim": 4,
    "rtl_models": 5,  # its golden models are the simulator's
    "validation": 6,
    "einsim": 7,
}
ROOT = Path(__file__).resolve().parent.parent


def sources() -> list[Path]:
    return sorted(path for package in FLOORS for path in (ROOT / package).rglob("*.py"))


def imported(source: str, package: str) -> list[tuple[int, str]]:
    """(line, imported root package) of every import; `package` is what a relative import stays within."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.lineno, package if node.level else (node.module or "").split(".")[0]))
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0]
            if called in {"import_module", "__import__"} and isinstance(name, ast.Constant):
                found.append((node.lineno, str(name.value).split(".")[0]))
    return found


def breaches(source: str, package: str) -> list[tuple[int, str]]:
    """The imports that don't run downward from `package`."""
    return [
        (line, target)
        for line, target in imported(source, package)
        if target in FLOORS and target != package and FLOORS[target] >= FLOORS[package]
    ]


def test_imports_run_downward_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {target}"
        for path in sources()
        for line, target in breaches(path.read_text(), path.relative_to(ROOT).parts[0])
    ]
    assert not wrong, "\n".join(wrong)


def test_no_package_needs_the_tests_the_examples_or_the_benchmarks() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {target}"
        for path in sources()
        for line, target in imported(path.read_text(), path.relative_to(ROOT).parts[0])
        if target in {"tests", "examples", "benchmarks"}
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("specs", "import accel"),
        ("workloads", "from accel.machine import Machine"),
        ("accel", "from workloads import cascade"),
        ("dataflow", "def f():\n    import sim.engine"),
        ("sim", "import numpy, rtl_models"),
        ("rtl_models", "from validation.row import Row"),
        ("dataflow", "from rtl_models import RTL_DIR"),
        ("validation", "from importlib import import_module\nimport_module('einsim.cli')"),
    ],
)
def test_an_upward_or_sideways_import_is_seen(package: str, source: str) -> None:
    assert len(breaches(source, package)) == 1


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("accel", "from specs.errors import SpecError"),
        ("accel", "from accel.machine import Machine"),
        ("sim", "from . import engine"),
        ("rtl_models", "from sim.arrays.stepped import step"),
        ("einsim", "import validation.papers, sim, dataflow, workloads, accel, specs"),
        ("specs", "import accelerate"),
    ],
)
def test_a_downward_import_is_allowed(package: str, source: str) -> None:
    assert breaches(source, package) == []


def test_every_file_says_first_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent, "\n".join(silent)


def test_no_file_outgrows_one_idea() -> None:
    long = [str(path.relative_to(ROOT)) for path in sources() if len(path.read_text().splitlines()) > 400]
    assert not long, "\n".join(long)


def test_no_folder_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "common", "helpers", "misc", "old", "v2"}
    found = [
        str(path.relative_to(ROOT))
        for path in sources()
        if drawers & {*path.relative_to(ROOT).with_suffix("").parts}
    ]
    assert not found, "\n".join(found)
