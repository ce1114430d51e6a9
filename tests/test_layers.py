"""Folders are floors of a house: imports run downward only, and neighbours don't know each other."""

from __future__ import annotations

import ast
import importlib
import sys
from functools import cache
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


@cache
def tree(source: str) -> ast.Module:
    """A source, parsed once for all tests."""
    return ast.parse(source)


@cache
def sources() -> list[Path]:
    """Every file once, by its place at the root; the links in einsim/ are not followed."""
    return sorted(path for package in FLOORS for path in (ROOT / package).rglob("*.py") if inside(path))


def inside(path: Path) -> bool:
    return path.resolve() == path


@pytest.mark.parametrize("package", sorted({*FLOORS} - {"einsim"}))
def test_a_folder_at_the_root_is_a_package_of_einsim(package: str) -> None:
    link = ROOT / "einsim" / package
    assert link.is_symlink()
    assert link.readlink() == Path("..", package)
    assert importlib.import_module(f"einsim.{package}").__name__ == f"einsim.{package}"


@pytest.mark.parametrize("package", sorted({*FLOORS} - {"einsim"}))
def test_the_old_name_of_a_package_never_loads(package: str) -> None:
    with pytest.raises(ImportError, match=f"'einsim.{package}'"):
        importlib.import_module(package)
    assert package not in sys.modules


def imported(source: str, package: str) -> list[tuple[int, str]]:
    """(line, folder) of every import: einsim.sim.engine is sim's, what is einsim's own is einsim's, another
    distribution's its root. `package` is what a relative import stays within.
    """
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, folder(alias.name)) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(node.lineno, package if node.level else folder(name)) for name in names]
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0]
            if called in {"import_module", "__import__"} and isinstance(name, ast.Constant):
                found.append((node.lineno, folder(str(name.value))))
    return found


def folder(name: str) -> str:
    """The folder at the root that a dotted name lies in."""
    root, _, rest = name.partition(".")
    inner = rest.split(".")[0]
    return inner if root == "einsim" and inner in FLOORS else root


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


def modules() -> dict[str, Path]:
    """Every module by its import name."""
    found = {}
    for path in sources():
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts if parts[0] == "einsim" else ("einsim", *parts))
        found[name.removesuffix(".__init__")] = path
    return found


def needs(source: str, known: set[str]) -> set[str]:
    """Modules that a source imports: anywhere, also inside functions and for the type checker only."""
    found: set[str] = set()
    for node in ast.walk(tree(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & known or {node.module}
    return found & known


def circles(graph: dict[str, set[str]]) -> set[tuple[str, ...]]:
    """Modules that import each other, in one step or through others: sets of them, sorted."""
    reach = {name: set(below) for name, below in graph.items()}
    for middle in graph:
        for above in graph:
            if middle in reach[above]:
                reach[above] |= reach[middle]
    return {
        tuple(sorted(other for other in graph if other in reach[name] and name in reach[other]))
        for name in graph
        if name in reach[name]
    }


def test_no_modules_import_each_other() -> None:
    known = modules()
    graph = {name: needs(path.read_text(), set(known)) for name, path in known.items()}
    assert not circles(graph)


def test_a_circle_of_imports_is_seen_where_it_is_lazy() -> None:
    lazy = "if TYPE_CHECKING:\n    from p import c\ndef f():\n    from p.b import g"
    graph = {"p.a": needs(lazy, {"p.a", "p.b", "p.c"}), "p.b": {"p.c"}, "p.c": {"p.b"}}
    assert graph["p.a"] == {"p.b", "p.c"}
    assert circles(graph) == {("p.b", "p.c")}
    assert circles({**graph, "p.c": {"p.a"}}) == {("p.a", "p.b", "p.c")}
    assert not circles({"p.a": {"p.b"}, "p.b": set()})


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
        ("specs", "import einsim.accel"),
        ("workloads", "from einsim.accel.machine import Machine"),
        ("accel", "from einsim.workloads import cascade"),
        ("dataflow", "def f():\n    import einsim.sim.engine"),
        ("sim", "import numpy, einsim.rtl_models"),
        ("rtl_models", "from einsim.validation.row import Row"),
        ("dataflow", "from einsim.rtl_models import RTL_DIR"),
        ("dataflow", "from einsim import sim"),
        ("dataflow", "from einsim import simulate"),
        ("validation", "from importlib import import_module\nimport_module('einsim.cli')"),
    ],
)
def test_an_upward_or_sideways_import_is_seen(package: str, source: str) -> None:
    assert len(breaches(source, package)) == 1


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("accel", "from einsim.specs.errors import SpecError"),
        ("accel", "from einsim.accel.machine import Machine"),
        ("sim", "from . import engine"),
        ("rtl_models", "from einsim.sim.arrays.stepped import step"),
        ("einsim", "import einsim.validation.papers, sim, dataflow, workloads, accel, specs"),
        ("specs", "import accelerate"),
    ],
)
def test_a_downward_import_is_allowed(package: str, source: str) -> None:
    assert breaches(source, package) == []


def test_every_file_says_first_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT)) for path in sources() if not ast.get_docstring(tree(path.read_text()))
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


TWICE: dict[str, str] = {}
"""Class names that stand in two modules, with the protocol that demands it."""


def defined(sources: dict[str, str]) -> dict[str, list[str]]:
    """The modules that define a class, by its name; classes within functions and classes count."""
    found: dict[str, list[str]] = {}
    for module, source in sources.items():
        classes = [node for node in ast.walk(tree(source)) if isinstance(node, ast.ClassDef)]
        for name in {node.name.lstrip("_") for node in classes}:
            found.setdefault(name, []).append(module)
    return found


def test_one_class_name_means_one_thing() -> None:
    scripts = [
        path for folder in ("examples", "benchmarks", "docs") for path in (ROOT / folder).rglob("*.py")
    ]
    found = defined({str(path.relative_to(ROOT)): path.read_text() for path in [*sources(), *scripts]})
    double = {name: modules for name, modules in found.items() if len(modules) > 1}
    assert double.keys() == TWICE.keys(), double


def test_a_name_that_two_modules_define_is_seen() -> None:
    found = defined({"a": "class Row: pass", "b": "def f():\n    class Row: pass", "c": "class Line: pass"})
    assert found == {"Row": ["a", "b"], "Line": ["c"]}
