"""What the cocotb test of every design does: run a file of jobs and write what each came to.

Environment: EINSIM_JOBS and EINSIM_OUTCOMES, files of jobs and outcomes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import cocotb
import msgspec
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from einsim.rtl_models.bench.job import Job, Outcome, read_jobs
from einsim.rtl_models.bench.scoreboard import Scoreboard, signed
from einsim.rtl_models.bench.streams import Source, is_high, reset
from einsim.rtl_models.design import find_design

AFTER_CLOCKS = 3
"""Cycles watched after a job's end: a design that works on is wrong."""


async def lockstep(dut: Any) -> None:
    """Every job of the file, one after the other on the same design, without a reset between them."""
    names = find_design(dut._name).streams
    jobs = read_jobs(Path(os.environ["EINSIM_JOBS"]))
    Clock(dut.clk, 2, unit="ns").start()
    dut.start.value = 0
    if hasattr(dut, "out_ready"):
        dut.out_ready.value = 1
    for name in names:
        getattr(dut, f"{name}_valid").value = 0
        getattr(dut, f"{name}_data").value = 0
    for name in jobs[0].config:
        getattr(dut, name).value = 0
    await reset(dut.clk, dut.rst)
    outcomes = []
    for job in jobs:
        outcome = await run_job(dut, names, job)
        outcomes.append(outcome)
        if not outcome.ok:
            await reset(dut.clk, dut.rst)  # what a faulty run left must not fail the next one
    Path(os.environ["EINSIM_OUTCOMES"]).write_bytes(msgspec.json.encode(outcomes))
    failed = [outcome for outcome in outcomes if not outcome.ok]
    assert not failed, f"{len(failed)} of {len(jobs)} jobs differ; {failed[0].name}: {failed[0].difference}"


async def run_job(dut: Any, names: Sequence[str], job: Job) -> Outcome:
    """Start the design, feed its streams and hold every cycle against the job."""
    edge = RisingEdge(dut.clk)
    for name, value in job.config.items():
        getattr(dut, name).value = value
    dut.start.value = 1
    await edge
    dut.start.value = 0
    feeders = [cocotb.start_soon(source(dut, name, job).send(words(job, name))) for name in names]
    board = Scoreboard(job.events)
    found: list[str] = []
    pausable, ready = hasattr(dut, "out_ready"), cycle(job.out_ready)
    width = len(dut.out_data) // len(dut.out_valid)
    now = clocks = cycles = after = 0
    while after < AFTER_CLOCKS:
        open_now = next(ready) if after == 0 else 1
        if pausable:
            dut.out_ready.value = open_now
        await edge
        running, advance = is_high(dut.running), is_high(dut.advance)
        clocks += running
        after += not running
        if clocks > job.clocks + 2 * len(job.out_ready) + 50:
            found.append(f"still runs after {clocks} clocks, expected {job.clocks}")
            break
        if not advance:
            continue
        cycles += running
        busy = str(dut.active.value).count("1") if running else 0
        expected = job.active[now] if now < len(job.active) else 0
        if busy != expected:
            found.append(f"cycle {now}: {busy} elements work, expected {expected}")
        valid = str(dut.out_valid.value)
        if "1" in valid:
            bits = str(dut.out_data.value)
            for lane in range(len(valid)):
                if valid[-1 - lane] == "1":
                    text = bits[len(bits) - (lane + 1) * width : len(bits) - lane * width]
                    known = set(text) <= {"0", "1"}
                    if not known:
                        found.append(f"cycle {now} lane {lane}: unknown bits {text}")
                    board.saw(lane, signed(int(text, 2), width) if known else 0, now)
        now += 1
    for feeder in feeders:
        feeder.cancel()
    for name in names:
        getattr(dut, f"{name}_valid").value = 0
    found += board.finish()
    if cycles != job.cycles:
        found.append(f"ran {cycles} cycles, expected {job.cycles}")
    if clocks != job.clocks:
        found.append(f"ran {clocks} clocks, expected {job.clocks}")
    return Outcome(
        name=job.name, cycles=cycles, clocks=clocks, events=board.matched, differences=len(found),
        difference=found[0] if found else "",
    )  # fmt: skip


def source(dut: Any, name: str, job: Job) -> Source:
    """The driver of one stream, with the job's waits."""
    return Source(
        dut.clk,
        valid=getattr(dut, f"{name}_valid"),
        ready=getattr(dut, f"{name}_ready"),
        data=getattr(dut, f"{name}_data"),
        gaps=job.gaps.get(name, ()),
        while_ready=job.gaps_while_ready,
    )


def words(job: Job, name: str) -> list[int]:
    """A stream's words as integers."""
    return [int(word, 16) for word in job.streams[name]]
