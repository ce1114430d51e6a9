"""CPU time of a sweep's points by default mappings at the analytical level: the first, and those after it.

    python benchmarks/sweep.py
    python benchmarks/sweep.py --points 40

Each row changes one parameter of the machine or of the workload at every point. `first` includes what is
imported and compiled; `next` is the median of the others, `most` the slowest of them: a point whose mapping
was not met before. With `--points`, the time of so many points by searched mappings, at quick effort, over
array, buffer, bandwidth and sequence length (of attention, unless another workload is named), and what 1,000
of them would take on two cores.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from einsim import evaluate, sweep

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
    ("llama2-7b", "tpu-v4i"),
    ("llama2-7b", "flat-cloud"),
]


def seconds(workload: str, accel: str, key: str) -> Iterator[float]:
    """CPU seconds of each point."""
    for at in range(POINTS):
        start = time.process_time()
        evaluate(workload, accel, settings={key: CHANGES[key](at)}, level="analytical")
        yield time.process_time() - start


def searched(count: int, workload: str, accel: str) -> float:
    """CPU seconds of a point by a searched mapping, one process, the first point left out."""
    grid = itertools.product((64, 128, 256), (8, 16, 32), (100, 200, 400, 800), (1024, 2048, 4096))
    keys = ("accel.array.rows", "accel.buffer", "accel.dram.bandwidth", "seq")
    each = ((rows, f"{room}MiB", f"{rate}GB/s", seq) for rows, room, rate, seq in itertools.cycle(grid))
    points = [dict(zip(keys, one, strict=True)) for one in itertools.islice(each, count + 1)]
    next(sweep(workload, accel, points[:1], workers=1))
    start = time.process_time()
    for _ in sweep(workload, accel, points[1:], workers=1):
        pass
    return (time.process_time() - start) / count


def main() -> None:
    """A row for each case and parameter, or the time of a searched point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--points", type=int, default=0, help="searched points to take the time of")
    parser.add_argument("--workload", default="attention", help="what is searched")
    parser.add_argument("--accel", default="fusemax-cloud", help="for which machine")
    said, told = Console(width=120, highlight=False).print, parser.parse_args()
    if count := told.points:
        each = searched(count, told.workload, told.accel)
        said(f"{each:.2f} CPU-s a searched point; 1,000 on two cores: {1000 * each / 2 / 60:.1f} minutes")
        return
    said(f"{'workload':12} {'machine':15} {'changes':22} {'first':>9} {'next':>9} {'most':>9} {'ratio':>6}")
    for workload, accel in CASES:
        for key in CHANGES:
            first, *others = seconds(workload, accel, key)
            middle = statistics.median(others)
            times = " ".join(f"{1e3 * one:7.1f}ms" for one in (first, middle, max(others)))
            said(f"{workload:12} {accel:15} {key:22} {times} {first / middle:6.1f}")


if __name__ == "__main__":
    main()
