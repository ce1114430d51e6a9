"""Makes the table of evidence: judges every measured row that nothing was fitted on.

python -m einsim.evidence_table [MACHINE ...]      writes validation/evidence.csv
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from einsim.accel.load import load_machine
from einsim.evidence import KERNELS
from einsim.predicting import answering, predicted_by
from einsim.validation.evidence import Evidence, table, write
from einsim.validation.gpu.fit import DEVICES
from einsim.validation.gpu.suite import points
from einsim.validation.silicon.chip_figure import ChipFigure
from einsim.validation.silicon.figures import Judged, figures
from einsim.validation.silicon.split import HELD_OUT
from einsim.validation.silicon.suite import stored


def silicon(rows: Sequence[ChipFigure], workers: int) -> Iterator[Evidence]:
    """Of each machine, kind of work and quantity of measured chips."""
    groups: dict[tuple[str, str, str], list[Judged]] = {}
    with answering(workers) as answers:
        for one in predicted_by(answers, on_held(rows), only_best=True):
            key = one.measured.machine, one.measured.kind, one.measured.quantity
            groups.setdefault(key, []).append(one)
    for (machine, kind, quantity), some in groups.items():
        best = some[0].best
        found = figures(some, best)
        if found is not None:
            yield Evidence(
                machine=machine, family=load_machine(machine).family, kind=kind, quantity=quantity,
                level=best, rows=found.count, mean=found.mean, median=found.median,
            )  # fmt: skip


def on_held(rows: Sequence[ChipFigure]) -> list[ChipFigure]:
    """Rows that nothing was fitted on."""
    return [row for row in rows if row.side == HELD_OUT]


def gpu() -> Iterator[Evidence]:
    """Of all kernels together that were captured on each GPU."""
    for name in DEVICES:
        off = np.array([abs(one.calibrated_s / one.row.median_s - 1) for one in points(name) if one.held])
        yield Evidence(
            machine=name, family="gpu", kind=KERNELS, quantity="latency_s", level="calibrated", rows=len(off),
            mean=float(off.mean()), median=float(np.median(off)),
        )  # fmt: skip


def remade(machines: Sequence[str], workers: int) -> Iterator[tuple[Evidence, ...]]:
    """The table with the lines of the named machines made anew, after each of them; with no name of all that
    were measured, and without lines of what isn't measured any more.
    """
    rows = stored()
    every = dict.fromkeys((*(row.machine for row in rows), *DEVICES))
    kept = {row.machine: [one for one in table() if one.machine == row.machine] for row in table()}
    kept = {name: lines for name, lines in kept.items() if name in every}
    for name in machines or every:
        if name in DEVICES:
            kept[name] = [one for one in gpu() if one.machine == name]
        else:
            kept[name] = list(silicon([row for row in rows if row.machine == name], workers))
        yield tuple(one for name in sorted(kept) for one in kept[name])


if __name__ == "__main__":
    for made in remade(sys.argv[1:], os.cpu_count() or 1):
        write(made, datetime.now(UTC).date().isoformat())
    sys.stdout.writelines(f"{row}\n" for row in made)
