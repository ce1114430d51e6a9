"""CPU time by a cascade's length: passes, and a run by the default mapping at both levels, of chains.

    python benchmarks/scale.py
    python benchmarks/scale.py --accel flat-cloud --most 1000
    python benchmarks/scale.py --recurrent --most 1000

A chain is products and additions in turn, each of the one before, as a network's layers are; or, recurrent,
states and functions of them in turn. Each length is a process of its own; what imports take is left out. The
last row is the exponent of the length that fits best (least squares of the logarithms): 1 is linear, and
n log n over 100 to 5,000 has 1.16.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time

import numpy as np
from rich.console import Console
from rich.table import Table

import einsim

LENGTHS = (100, 200, 400, 1000, 2000, 5000)
SIZES = {"b": 16, "d": 64, "h": 128}
STATE_SIZES = {"t": 8, "c": 16}
RAW = argparse.RawDescriptionHelpFormatter
STEPS = ("parse", "passes", "map", "lower", "analytical", "simulate")


def chain(length: int) -> str:
    """So many Einsums in the notation."""
    lines, before, rank = [], "X", "d"
    for at in range(length):
        if at % 2:
            lines.append(f"A{at}[b,{rank}] = {before}[b,{rank}] + B{at}[{rank}]")
        else:
            other = "h" if rank == "d" else "d"
            lines.append(f"A{at}[b,{other}] = {before}[b,{rank}] * W{at}[{rank},{other}]")
            rank = other
        before = f"A{at}"
    return "\n".join(lines)


def states(length: int) -> str:
    """So many Einsums in the notation, half of which are states."""
    lines, before = [], "X"
    for at in range(length // 2):
        lines += [f"initial S{at} = 0", f"S{at}[t+1,c] = S{at}[t,c] * D{at}[c] + {before}[t,c]"]
        lines.append(f"A{at}[t,c] = exp(S{at}[t+1,c])")
        before = f"A{at}"
    return "\n".join(lines)


def seconds(length: int, accel: str, recurrent: bool) -> list[float]:
    """CPU seconds of each step of a chain."""
    kind, sizes = (states, STATE_SIZES) if recurrent else (chain, SIZES)
    machine, text = einsim.load_machine(accel), kind(length)
    first = einsim.parse_cascade(kind(4), name="first", sizes=sizes)
    einsim.evaluate(first, machine)  # what is imported and compiled
    times = [time.process_time()]

    def lap() -> None:
        times.append(time.process_time())

    work = einsim.parse_cascade(text, name="chain", sizes=sizes)
    lap()
    for rank in work.ranks:
        einsim.passes(work, rank.name)
    lap()
    mapping = einsim.build_mapping(work, machine)
    lap()
    program = einsim.lower(mapping, work, machine)
    lap()
    einsim.analyse(program, machine)
    lap()
    einsim.simulate(program, machine)
    lap()
    return [after - before for before, after in itertools.pairwise(times)]


def exponent(lengths: list[int], times: list[float]) -> float:
    """By which power of the length times grow."""
    return float(np.polyfit(np.log(lengths), np.log(times), 1)[0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RAW)
    parser.add_argument("--accel", default="tpu-v4i")
    parser.add_argument("--most", type=int, default=LENGTHS[-1], help="the longest chain")
    parser.add_argument("--recurrent", action="store_true", help="a chain of states")
    options = parser.parse_args()
    lengths = [length for length in LENGTHS if length <= options.most]
    table = Table("Einsums", *STEPS, "passes in all", "analytical in all", "sim in all")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        rows = [pool.apply(seconds, (length, options.accel, options.recurrent)) for length in lengths]
    for row in rows:
        *until, analytical, simulated = row
        row += [sum(row[:2]), sum(until) - row[1] + analytical, sum(until) - row[1] + simulated]
    for length, row in zip(lengths, rows, strict=True):
        table.add_row(f"{length:,}", *(f"{one:.2f}" for one in row))
    if len(lengths) > 1:
        fits = (exponent(lengths, list(times)) for times in zip(*rows, strict=True))
        table.add_row("exponent", *(f"{one:.2f}" for one in fits))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
