"""How fast the RTL runs: simulated clocks a second of each design's quick jobs, by simulator.

Run `python benchmarks/rtl.py`. The ratio is to the first simulator on the same jobs; builds are not counted.
"""

from __future__ import annotations

import time

from rich.console import Console
from rich.table import Table

from einsim.rtl_models.build import build, run_jobs
from einsim.rtl_models.design import DESIGNS, find_design
from einsim.rtl_models.grid import grid
from einsim.rtl_models.simulator import available


def main() -> None:
    """Print one line a design and simulator."""
    first = {batch.design: batch for batch in reversed(list(grid()))}
    table = Table("design", "simulator", "clocks", "clocks/s", "ratio", box=None)
    for name in DESIGNS:
        batch, base = first[name], 0.0
        for simulator in available():
            built = build(find_design(name), simulator, batch.parameters)
            start = time.perf_counter()
            clocks = sum(outcome.clocks for outcome in run_jobs(built, batch.jobs))
            rate = clocks / (time.perf_counter() - start)
            base = base or rate
            table.add_row(name, simulator.name, str(clocks), f"{rate:.0f}", f"{rate / base:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
