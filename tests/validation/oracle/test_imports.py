"""The oracle knows the nouns only: whatever computes costs elsewhere can't be in it, by any way."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NOUNS = {
    "accel.machine", "dataflow.mapping", "workloads.cascade", "workloads.bound", "workloads.expression",
    "workloads.sparsity",
}  # fmt: skip
ENTRY = "validation.oracle.walk"


def imports(module: str) -> set[str]:
    path = ROOT / (module.replace(".", "/") + ".py")
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name.removeprefix("einsim.") for name in found if name.startswith("einsim.")}


def test_nothing_but_the_nouns_is_reached_from_the_oracle() -> None:
    seen, pending = set(), {ENTRY}
    while pending:
        module = pending.pop()
        seen.add(module)
        pending |= {name for name in imports(module) if name.startswith("validation.oracle")} - seen
        others = {name for name in imports(module) if not name.startswith("validation.oracle")}
        assert others <= NOUNS, f"{module} imports {sorted(others - NOUNS)}"
    assert len(seen) > 4


def test_the_nouns_themselves_reach_no_evaluator() -> None:
    seen, pending = set(), set(NOUNS)
    while pending:
        module = pending.pop()
        seen.add(module)
        pending |= imports(module) - seen
    assert {name.split(".")[0] for name in seen} == {"accel", "dataflow", "specs", "workloads"}
    assert {name for name in seen if name.startswith("dataflow")} == {"dataflow.mapping"}
