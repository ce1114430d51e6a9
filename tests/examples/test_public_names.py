"""What a script in examples/ or benchmarks/ imports is public: einsim's names, or modules that the docs name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import einsim

ROOT = Path(__file__).resolve().parents[2]
OF_EXAMPLES = {"einsim", "einsim.cocotb"}
"""Modules that an example imports; a testbench is no script."""
DOCS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))


def scripts(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def modules(tree: ast.Module) -> set[str]:
    """Modules of einsim that a script imports or imports from."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return {name for name in found if name.split(".")[0] == "einsim"}


def names(tree: ast.Module) -> set[str]:
    """Names that a script takes of einsim itself: imported, or as `einsim.name`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "einsim":
            found |= {alias.name for alias in node.names}
        elif (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "einsim"
        ):
            found.add(node.attr)
    return found


@pytest.mark.parametrize("path", scripts("examples"), ids=lambda path: path.stem)
def test_an_example_uses_public_names_only(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not {name for name in modules(tree) - OF_EXAMPLES if not documented(name)}
    assert names(tree) <= set(einsim.__all__)


@pytest.mark.parametrize("path", scripts("benchmarks"), ids=lambda path: path.stem)
def test_a_benchmark_uses_public_names_and_documented_modules_only(path: Path) -> None:
    tree = ast.parse(path.read_text())
    below = modules(tree) - {"einsim"}
    assert not {name for name in below if not documented(name)}
    assert names(tree) <= set(einsim.__all__)


def documented(module: str) -> bool:
    """Whether a page of the docs names the module."""
    return f"`{module}`" in DOCS or f"from {module} import" in DOCS


def test_what_is_not_public_is_seen() -> None:
    tree = ast.parse(
        "import einsim\nfrom einsim.cli.terminal import cli\nfrom einsim import nothing\neinsim.hidden()"
    )
    assert modules(tree) == {"einsim", "einsim.cli.terminal"}
    assert names(tree) == {"nothing", "hidden"}
    assert not documented("einsim.cli.terminal")
