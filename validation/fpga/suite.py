"""The FPGA suite: what accel's resource model says of a design against what Yosys synthesises of it.

DSPs, BRAM36 and UltraRAM must be equal; LUTs and flip-flops within 15 %. The grid was drawn before it was
synthesised (grid.py); its counts are stored (counts.csv), and one size of each design is synthesised anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from einsim.rtl_models.design import find_design
from einsim.specs.errors import RuleError
from einsim.specs.near import near
from einsim.validation.fpga.counts import counts_of, synthesise
from einsim.validation.fpga.grid import DRAWN, DesignPoint, grid
from einsim.validation.fpga.proof import prove_element
from einsim.validation.fpga.synthesis import depth_of
from einsim.validation.row import Row, held

SUITE: Final = "fpga"
SOURCE: Final = "Yosys synth_xilinx (pyosys): xc7 for DSP, LUT and FF, xcup with -uram for memory blocks"
LIMITS: Final = {"dsp": 0.0, "lut": 0.15, "ff": 0.15, "bram36": 0.0, "uram": 0.0}
CASES: Final = (*DRAWN, "tile_memory", "pe_os")


def run(
    cases: Sequence[str] = (), progress: Callable[[str], None] = lambda _: None, *, full: bool = False
) -> Iterator[Row]:
    """Rows of the named designs, or of all; `full` synthesises the whole grid anew.

    SynthesisError without pyosys; RuleError for an unknown name.
    """
    for name in cases:
        if name not in CASES:
            raise RuleError("no such design in this suite", got=name, hint=near(name, CASES))
    wanted = set(cases or CASES)
    chosen = [case for case in grid() if case.design in wanted]
    if not full:
        for case in chosen:
            yield from judged(case, counts_of(case), "stored synthesis")
    for case, counts in synthesise(chosen if full else anew(chosen), progress):
        yield from judged(case, counts, "synthesised now")
    for case in anew(chosen):
        if case.design != "tile_memory":
            progress(f"gate depth of {case.name}")
            depth = depth_of(find_design(case.design).files(), case.design, case.parameters)
            yield row(case.name, "gate depth", "synthesised now", None, depth, "an indication of the clock")
    if "pe_os" in wanted:
        progress("bounded proof of pe_os")
        yield row("pe_os:bounded proof", "counterexamples", "proof", 0, prove_element())


def rows(full: bool = False) -> list[Row]:
    """All rows, of the stored grid or of one synthesised anew."""
    return list(run(full=full))


def judged(case: DesignPoint, counts: Mapping[str, int], level: str) -> Iterator[Row]:
    """The model of a case held against its synthesis."""
    model = case.model()
    for quantity, count in counts.items():
        if count or model[quantity] or quantity in {"dsp", "lut", "ff"}:
            yield row(case.name, quantity, level, count, model[quantity])


def anew(cases: Sequence[DesignPoint]) -> list[DesignPoint]:
    """The smallest of each design, by the model."""
    smallest: dict[str, DesignPoint] = {}
    for case in cases:
        best = smallest.setdefault(case.design, case)
        if sum(case.model().values()) < sum(best.model().values()):
            smallest[case.design] = case
    return list(smallest.values())


def row(case: str, quantity: str, level: str, reference: float | None, ours: float, note: str = "") -> Row:
    """A row of this suite; quantities without a limit of their own must be met exactly."""
    limit = None if reference is None else LIMITS.get(quantity, 0.0)
    return held(
        suite=SUITE, case=case, quantity=quantity, level=level, reference=reference, ours=ours, limit=limit,
        source=SOURCE, note=note,
    )  # fmt: skip
