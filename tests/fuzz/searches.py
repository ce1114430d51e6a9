"""Searches that are restricted by flags: they find, or say in a line why they don't, and soon."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from einsim.specs.units import Bytes
from tests.fuzz.bench import Bench, FaultError, not_finite
from tests.fuzz.draw import ODD, Draw

KEPT = ("A", "B", "W0", "T0", "T1", "T2", "Q", "K", "V", "X", "S", "Z", "x", "")
MEMORIES = ("dram", "gb", "l1", "spad", "acc", "module", "local", "global_buffer", "vmem", "cmem", "x", "")


def flags(draw: Draw) -> list[str]:
    """Options of `map`, most of them legal."""
    words = [
        ["--tiles", draw.choice(("all", "perfect", "steps"))],
        ["--buffers", draw.choice("12")],
        ["--fuse", draw.choice("1123")],
        ["--keep", f"{draw.choice(KEPT)}={draw.choice(MEMORIES)}"],
        ["--within", draw.choice(("0B", "1B", "64B", "4KiB", "1MiB", "1GiB"))],
        ["--nodes", draw.choice(("1", "10", "1000"))],
        ["--budget", draw.choice(("0s", "1ms", "1s"))],
        ["--layouts", "any"],
        ["--no-templates"],
        ["--dataflow", "flat"],
        ["--space"],
    ]
    shares = (0.4, 0.4, 0.3, 0.15, 0.2, 0.15, 0.1, 0.1, 0.15, 0.03, 0.05)
    chosen = [pair for pair, share in zip(words, shares, strict=True) if draw.chance(share)]
    for pair in chosen:
        if len(pair) > 1 and draw.chance(0.03):
            pair[1] = str(draw.choice(ODD))
    return [word for pair in chosen for word in pair]


def search(draw: Draw, bench: Bench, given: Sequence[str], more: Sequence[str] = ()) -> None:
    """A search with its laws: what it writes is read again and takes as long as it says."""
    path = bench.folder / "found.yaml"
    objective = draw.choice(("latency", "latency", "energy", "edp", "buffer", "pareto"))
    effort = "normal" if draw.chance(0.1) else "quick"
    said = bench.run("map", *given, *more, "--effort", effort, "--objective", objective, "--workers", "1",
                     *([] if "--space" in more else ["--json", "-o", str(path)]))  # fmt: skip
    if said.code or "--space" in more:
        return
    found: dict[str, Any] = json.loads(said.out, parse_constant=not_finite)
    if found["gap"] is not None and not 0 <= found["gap"] <= 1:
        raise FaultError(f"a gap of {found['gap']}")
    if found["proven"] and found["gap"]:
        raise FaultError(f"proven with a gap of {found['gap']}")
    if "--within" in more and found["buffer_bytes"] > Bytes.parse(more[more.index("--within") + 1]):
        raise FaultError(f"{found['buffer_bytes']} bytes held within {more}")
    again = bench.run("run", *given, "--mapping", str(path), "--level", "analytical", "--json")
    figures = json.loads(again.out) if again.code == 0 else {}
    if figures.get("latency_s") != found["latency_s"]:
        raise FaultError(f"takes {found['latency_s']} s, and {figures.get('latency_s')} s when it is read")
