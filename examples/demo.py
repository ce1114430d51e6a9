"""`make demo`: BERT-base attention at 4096 tokens on FuseMax's machine and on FLAT's, side by side."""

from __future__ import annotations

import sys
from pathlib import Path

import einsim

TITLE = "BERT-base attention, 4096 tokens, batch 64"
PAGE = Path("out/demo.html")
SETTINGS = {"model": "bert-base", "seq": "4K"}
# The published mappings: FuseMax's interleaved 1-pass attention, and FLAT's fused 3-pass one.
CASES = (
    ("attention-1pass", "fusemax-cloud", "fusemax-interleaved"),
    ("attention-3pass", "flat-cloud", "flat"),
)


def main() -> None:
    """Run both, print them side by side, write the page."""
    print(f"{TITLE}: cycle-level simulation of two machines\n")
    cases = []
    for workload, accel, mapping in CASES:
        found = einsim.evaluate(workload, accel, settings=SETTINGS, mapping=mapping, level="sim")
        command = f"einsim run {workload} --set model=bert-base seq=4K --accel {accel} --mapping {mapping}"
        cases.append(einsim.Case(result=found.result, machine=found.machine, command=command))
    ours, theirs = (case.result for case in cases)
    print(einsim.comparison([ours, theirs], styled=sys.stdout.isatty()))
    assert ours.energy_j is not None  # both machines state all of it
    assert theirs.energy_j is not None
    speed, energy = theirs.latency_s / ours.latency_s, ours.energy_j / theirs.energy_j
    print(
        f"{ours.accel} runs it at {speed:.2f}× the speed of {theirs.accel}, for {energy:.1%} of its energy."
    )
    fuse, flat = (einsim.published(f"fusemax:{name}:BERT:4K") for name in ("binding", "flat"))
    speed, energy = flat["latency_s"] / fuse["latency_s"], fuse["energy_j"] / flat["energy_j"]
    print(
        f"Published: {speed:.2f}× and {energy:.1%}. What the energies differ in, by component: "
        "einsim validate papers --case fusemax:flat:BERT:4K"
    )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(einsim.report_page(cases, TITLE), encoding="utf-8")
    print(f"The whole story, with pictures and sources: open {PAGE}")


if __name__ == "__main__":
    main()
