"""Mutants: single faults put into the RTL, each of which the runs must catch.

A fault is one replaced text. A mutant is caught when a run differs, or when it doesn't build or end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from einsim.rtl_models.bench.batch import Batch
from einsim.rtl_models.build import build, run_jobs
from einsim.rtl_models.design import find_design
from einsim.rtl_models.grid import grid
from einsim.rtl_models.simulator import Simulator, SimulatorError
from einsim.specs.loader import decode, load_yaml

TIMEOUT_S: Final = 20.0
"""A sound batch takes a second or two; a mutant that never ends is caught by this."""


class Mutant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In `file`, the only occurrence of `text` becomes `instead`; judged on runs of `design`."""

    kind: str
    design: str
    file: str
    text: str
    instead: str


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `mutants.yaml` holds."""

    mutants: tuple[Mutant, ...]


@cache
def stored_mutants() -> tuple[Mutant, ...]:
    """Every mutant of `mutants.yaml`."""
    return decode(load_yaml(Path(__file__).parent / "mutants.yaml"), Table, "mutants").mutants


def survivors(simulator: Simulator, mutants: Sequence[Mutant]) -> Iterator[Mutant]:
    """The mutants that no run catches; there should be none."""
    batches = list(grid())
    for each in mutants:
        of_design = [batch for batch in batches if batch.design == each.design]
        if not any(caught(each, batch, simulator) for batch in of_design):
            yield each


def caught(each: Mutant, batch: Batch, simulator: Simulator) -> bool:
    """Whether a run of the batch differs on the mutant, or the mutant does not build or end."""
    design = find_design(each.design)
    with tempfile.TemporaryDirectory(prefix="einsim-mutant-") as work:
        sources = []
        changed = 0
        for file in design.files():
            text = file.read_text()
            if file.name == each.file:
                count = text.count(each.text)
                assert count == 1, f"{each.file}: '{each.text}' stands there {count} times"
                text, changed = text.replace(each.text, each.instead), changed + 1
            sources.append(Path(work, file.name))
            sources[-1].write_text(text)
        assert changed == 1, f"{each.file} is no source of {each.design}"
        try:
            built = build(design, simulator, batch.parameters, sources=sources, folder=Path(work, "build"))
            outcomes = run_jobs(built, batch.jobs, timeout_s=TIMEOUT_S)
        except SimulatorError:
            return True
    return any(not outcome.ok for outcome in outcomes)
