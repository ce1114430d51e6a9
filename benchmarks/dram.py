"""How fast DRAM timing runs: requests and simulated cycles a second, and the ratio to plain Python.

Run `python benchmarks/dram.py`. The baseline is the scheduler itself, uncompiled (numba's py_func), on a
shorter stream of the same kind; it must issue the same commands.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from einsim.sim.dram import controller, scheduler
from einsim.sim.dram.address import places
from einsim.sim.dram.controller import BurstStream, Controller, run_channel
from einsim.sim.dram.scheduler import serve
from einsim.sim.dram.simulate import Requests, simulate
from einsim.sim.dram.standard import Standard, names, standard

COUNT = 200_000
SHORT = 300


def timed(chosen: Standard, requests: Requests) -> tuple[float, int, float]:
    """CPU seconds, cycles and efficiency of one compiled run."""
    simulate(chosen, Requests(*(np.asarray(x)[:100] for x in requests)))
    start = time.process_time()
    result = simulate(chosen, requests)
    return time.process_time() - start, result.cycles, result.efficiency


def one_channel(
    chosen: Standard, addr: npt.NDArray[Any], *, compiled: bool
) -> tuple[float, npt.NDArray[Any]]:
    """CPU seconds a request and the command log of channel 0's requests, compiled or in plain Python."""
    where = places(chosen, addr)
    mine = where.channel == 0
    count = int(mine.sum())
    jitted = {
        name: each for name, each in vars(scheduler).items() if hasattr(each, "py_func") and each is not serve
    }
    if not compiled:
        setattr(controller, "serve", getattr(serve, "py_func"))  # noqa: B009, B010 - mypy knows neither
        for name, kernel in jitted.items():
            setattr(scheduler, name, kernel.py_func)
    stream = BurstStream(
        where.bank[mine], where.row[mine], np.zeros(count, np.int64), np.zeros(count, np.int64)
    )
    try:
        start = time.process_time()
        log = run_channel(stream, chosen.timing.clocks, chosen.organisation.tree, Controller()).log
        return (time.process_time() - start) / count, log
    finally:
        setattr(controller, "serve", serve)  # noqa: B010
        for name, kernel in jitted.items():
            setattr(scheduler, name, kernel)


def main() -> None:
    """Prints one table."""
    rng = np.random.default_rng(0)
    table = Table("standard", "stream", "requests/s", "simulated channel-cycles/s", "of peak", "times Python")
    for name in names():
        chosen = standard(name)
        bursts = chosen.capacity_bytes // chosen.burst_bytes
        streams = {"sequential": np.arange(COUNT), "random": rng.integers(0, bursts, COUNT)}
        for kind, burst in streams.items():
            addr = burst * chosen.burst_bytes
            seconds, cycles, efficiency = timed(chosen, Requests(addr, np.zeros(COUNT), np.zeros(COUNT)))
            few = addr[: SHORT * chosen.channels]
            slow, log = one_channel(chosen, few, compiled=False)
            one_channel(chosen, few, compiled=True)
            fast, same = one_channel(chosen, addr, compiled=True)
            assert (one_channel(chosen, few, compiled=True)[1] == log).all()
            assert len(same) >= len(log)
            table.add_row(
                name, kind, f"{COUNT / seconds:.3g}", f"{cycles * chosen.channels / seconds:.3g}",
                f"{efficiency:.1%}", f"{slow / fast:.0f}",
            )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
