"""`python -m einsim.validation.oracle --cases N --seed S`: kinds of disagreement, a small case of each."""

from __future__ import annotations

import argparse
from collections import Counter

import msgspec
from rich.console import Console

from einsim.accel.machine import Unit
from einsim.accel.memory import Memory
from einsim.dataflow.mapping_text import mapping_text
from einsim.validation.oracle.compare import Disagreement, DrawnCase, draw, judge
from einsim.validation.oracle.draw_cascade import KINDS


def main() -> None:
    """Draw, judge and print."""
    parser = argparse.ArgumentParser(prog="python -m einsim.validation.oracle", description=__doc__)
    parser.add_argument("--cases", type=int, default=300, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="", help="kinds of cascades, with commas; all of them otherwise")
    parser.add_argument("--reworked", action="store_true", help="with more changes in each mapping")
    parser.add_argument("--case", type=int, help="only this one, with all that differs")
    asked = parser.parse_args()
    kinds = tuple(asked.kinds.split(",")) if asked.kinds else tuple(KINDS)
    console = Console(highlight=False, markup=False)
    totals: Counter[str] = Counter()
    by_kind: dict[str, Counter[str]] = {}
    smallest: dict[str, tuple[DrawnCase, Disagreement]] = {}
    for number in [asked.case] if asked.case is not None else range(asked.cases):
        case = draw(asked.seed, number, kinds, reworked=asked.reworked)
        if case is None:
            continue
        verdict = judge(case)
        totals["drawn"] += 1
        totals["legal"] += verdict.legal
        totals["right"] += verdict.right
        totals["legal and right"] += verdict.legal and verdict.right
        totals["legal, and all figures agree"] += verdict.legal and not verdict.found
        for kind in {found.kind for found in verdict.found}:
            by_kind.setdefault(kind, Counter())[case.kind] += 1
        for found in verdict.found:
            if found.kind not in smallest or case.size < smallest[found.kind][0].size:
                smallest[found.kind] = (case, found)
        if asked.case is not None:
            console.print(_shown(case), *(f"{found.kind}: {found.text}" for found in verdict.found), sep="\n")
    console.print(", ".join(f"{count} {what}" for what, count in totals.items()))
    for kind in sorted(by_kind, key=lambda kind: -by_kind[kind].total()):
        case, found = smallest[kind]
        where = ", ".join(f"{name} {count}" for name, count in by_kind[kind].most_common(8))
        console.rule(f"{kind}: {by_kind[kind].total()} cases ({where})")
        console.print(f"case {case.name}: {found.text}")


def _shown(case: DrawnCase) -> str:
    """A case in words: cascade, mapping, memories and units, what is not said being the default."""
    parts: list[Memory | Unit] = [*case.chip.memories, *case.chip.units]
    lines = [
        f"{type(part).__name__.lower()} {part.name}: "
        + ", ".join(
            f"{key} {value}"
            for key, value in msgspec.to_builtins(part).items()
            if key not in ("name", "ops") and value not in (None, "", 0, [], {}, False)
        )
        for part in parts
    ]
    return "\n".join([str(case.work), mapping_text(case.mapping), *lines, f"multicast {case.chip.multicast}"])


if __name__ == "__main__":
    main()
