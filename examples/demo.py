"""`make demo`: BERT-base attention at 4096 tokens on FuseMax's machine and on FLAT's, side by side."""

from __future__ import annotations

from pathlib import Path

import einsim
from einsim.cli.comparison import comparison
from einsim.cli.terminal import console
from einsim.report.quantity import percent, times
from einsim.validation.papers.fusemax import read_case, references

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
    out = console()
    out.print(f"[bold]{TITLE}: cycle-level simulation of two machines[/]\n")
    cases = []
    for workload, accel, mapping in CASES:
        found = einsim.evaluate(workload, accel, settings=SETTINGS, mapping=mapping, level="sim")
        command = f"einsim run {workload} --set model=bert-base seq=4K --accel {accel} --mapping {mapping}"
        cases.append(einsim.Case(result=found.result, machine=found.machine, command=command))
    ours, theirs = (case.result for case in cases)
    out.print(comparison([ours, theirs]))
    out.print(
        f"\n{ours.accel} runs it at [bold green]{times(theirs.latency_s / ours.latency_s)}[/] the speed of "
        f"{theirs.accel}, for [bold green]{percent(ours.energy_j / theirs.energy_j)}[/] of its energy."
    )
    fuse, flat = (references()[read_case(f"fusemax:{name}:BERT:4K")] for name in ("binding", "flat"))
    out.print(
        f"Published: {times(flat['latency_s'] / fuse['latency_s'])} and "
        f"{percent(fuse['energy_j'] / flat['energy_j'])}. What the energies differ in, by component: "
        "einsim validate papers --case fusemax:flat:BERT:4K"
    )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(einsim.report_page(cases, TITLE), encoding="utf-8")
    out.print(f"The whole story, with pictures and sources: open [bold]{PAGE}[/]")


if __name__ == "__main__":
    main()
