"""CPU time of a sweep's points by default mappings at the analytical level: the first, and those after it.

    python benchmarks/sweep.py

Each row changes one parameter of the machine or of the workload at every point. `first` includes what is
imported and compiled; `next` is the median of the others, `most` the slowest of them: a point whose mapping
was not met before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from einsim import evaluate

POINTS = 12
CHANGES: dict[str, Callable[[int], str]] = {
    "accel.dram.bandwidth": lambda at: f"{100 + 37 * at}GB/s",
    "accel.clock": lambda at: f"{900 + 20 * at}MHz",
    "accel.buffer": lambda at: f"{8 + 2 * at}MiB",
    "accel.array.rows": lambda at: str(64 + 16 * at),
    "seq": lambda at: str(1024 + 256 * at),
}
CASES = [
    ("attention", "fusemax-cloud"),
    ("attention", "tpu-v4i"),
    ("llama2-7b", "fusemax-cloud"),
    ("llama2-7b", "flat-cloud"),
]


def seconds(workload: str, accel: str, key: str) -> Iterator[float]:
    """CPU seconds of each point."""
    for at in range(POINTS):
        start = time.process_time()
        evaluate(workload, accel, settings={key: CHANGES[key](at)}, level="analytical")
        yield time.process_time() - start


def main() -> None:
    """A row for each case and parameter."""
    said = Console(width=120, highlight=False).print
    said(f"{'workload':12} {'machine':15} {'changes':22} {'first':>9} {'next':>9} {'most':>9} {'ratio':>6}")
    for workload, accel in CASES:
        for key in CHANGES:
            first, *others = seconds(workload, accel, key)
            middle = statistics.median(others)
            times = " ".join(f"{1e3 * one:7.1f}ms" for one in (first, middle, max(others)))
            said(f"{workload:12} {accel:15} {key:22} {times} {first / middle:6.1f}")


if __name__ == "__main__":
    main()
