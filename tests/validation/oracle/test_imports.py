"""The oracle knows the nouns only: whatever computes costs elsewhere can't be in it, by any way."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NOUNS = {
    "accel.codec", "accel.machine", "dataflow.mapping", "workloads.bound", "workloads.cascade", "workloads.expression",
    "workloads.sparsity",
}  # fmt: skip
ENTRIES = {"validation.oracle.walk", "validation.oracle.price", "validation.oracle.possible"}


def imports(module: str) -> set[str]:
    """Modules of the project that a module imports, without `einsim.` in front; nothing else is reachable."""
    path = ROOT / (module.replace(".", "/") + ".py")
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            names.add(node.module or "")
        elif isinstance(node, ast.Call) and module.startswith("validation.oracle"):
            assert "import" not in ast.unparse(node.func), f"{module} imports by a call"
    return {name.removeprefix("einsim.") for name in names if name.split(".")[0] == "einsim"}


def test_nothing_but_the_nouns_is_reached_from_the_oracle() -> None:
    seen, pending = set(), set(ENTRIES)
    while pending:
        module = pending.pop()
        seen.add(module)
        own = {name for name in imports(module) if name.startswith("validation.oracle.")}
        others = imports(module) - own
        assert others <= NOUNS, f"{module} imports {sorted(others - NOUNS)}"
        pending |= own - seen
    assert {name.rsplit(".", 1)[1] for name in seen} == {
        "walk", "price", "possible", "feed", "incoming", "points", "store", "unit", "values",
        "widths", "outgoing",
    }  # fmt: skip


def test_the_nouns_themselves_reach_no_evaluator() -> None:
    seen, pending = set(), set(NOUNS)
    while pending:
        module = pending.pop()
        seen.add(module)
        pending |= imports(module) - seen
    assert {name.split(".")[0] for name in seen} == {"accel", "dataflow", "specs", "workloads"}
    assert {name for name in seen if name.startswith("dataflow")} == {"dataflow.mapping"}
