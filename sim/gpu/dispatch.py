"""Blocks dispatched to SMs by an event list: residents of an SM share it, all share the device.

A block is a latency part (seconds that pass whoever else is there), a local part (seconds that it needs the
SM's busiest pipe for itself) and a global part (seconds that it needs the device's busiest memory for
itself). Plain functions over arrays, compiled by numba.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from einsim.specs.compiled import njit

# How sharply sharing takes over from latency is a norm of 4 (1 would add the two, infinity take the larger):
# by the `copy_in_flight` captures, which hold 4 to 128 KiB an SM in flight.
# How far the parts of one block overlap: their times are summed in this norm (1: not at all, infinity:
# wholly). No microbenchmark gives it: chosen once, for all kernels, on rows of the fit split.
OVERLAP = 2.0
NEARLY_DONE = 1e-6  # of a block: what rounding leaves


@njit(error_model="numpy", inner=True)
def together(one: float, two: float) -> float:
    """Seconds of two parts that overlap in a norm of 2, as OVERLAP says."""
    return math.sqrt(one * one + two * two)


@njit(error_model="numpy", inner=True)
def sharply(one: float, two: float) -> float:
    """Seconds of two parts that share in a norm of 4, as the comment at the top says."""
    return math.sqrt(math.sqrt(one**2 * one**2 + two**2 * two**2))


@njit(error_model="numpy")
def duration(
    alone: float,
    local: float,
    shared: float,
    serial: bool,
    phased: bool,
    here: int,
    everywhere: int,
    active: int,
) -> float:
    """Seconds a block takes with `here` residents on its SM and `everywhere` on the device.

    serial: its memory time overlaps with its latency only in part (loads are used at once). phased: it walks
    its data in passes with a barrier between, so that residents' memory and pipes hinder one another too.
    """
    own = shared * active
    base = together(alone, own) if serial else max(alone, own)
    pressed, least = max(local * here, shared * everywhere), max(local, own)
    if phased:
        pressed, least = sharply(local * here, shared * everywhere), sharply(local, own)
    if pressed <= least:
        return float(base)
    grown = base**2 * base**2 + pressed**2 * pressed**2 - least**2 * least**2
    return math.sqrt(math.sqrt(grown))


@njit(error_model="numpy")
def makespan(
    counts: Any, alone: Any, local: Any, shared: Any, serial: bool, phased: bool, sms: int, residents: int
) -> float:
    """Seconds from the first block's start to the last one's end.

    counts: blocks of every run, in dispatch order; alone, local, shared: seconds of a run's blocks.
    residents: blocks an SM holds. Whole waves of one run that nothing disturbs are skipped at once.
    """
    slots = sms * residents
    if counts.shape[0] == 1 and counts[0] > 3 * slots:
        waves = counts[0] // slots - 2
        rest = counts.copy()
        rest[0] -= waves * slots
        each = duration(alone[0], local[0], shared[0], serial, phased, residents, slots, sms)
        return float(waves * each + makespan(rest, alone, local, shared, serial, phased, sms, residents))
    left = np.zeros((sms, residents))  # share of a block that is still to run
    takes = np.ones((sms, residents))  # seconds of a whole block at its present rate
    run_of = np.full((sms, residents), -1)  # -1: an empty slot
    here = np.zeros(sms, dtype=np.int64)
    since, ends = np.zeros(sms), np.full(sms, np.inf)  # when `left` was true; when its next block ends
    run, taken, total, active, now = 0, 0, 0, 0, 0.0
    last = counts.shape[0] - 1
    touched = np.ones(sms, dtype=np.bool_)
    while True:
        for level in range(residents):  # the emptiest SM first, as the hardware fills
            for sm in range(sms):
                if run < last and taken == counts[run]:
                    run, taken = run + 1, 0
                if taken == counts[run]:
                    break
                if here[sm] != level or not touched[sm]:
                    continue
                slot = 0
                while run_of[sm, slot] >= 0:
                    slot += 1
                run_of[sm, slot], left[sm, slot], takes[sm, slot] = run, 1.0, np.inf
                active += level == 0
                here[sm] += 1
                total, taken = total + 1, taken + 1
        if total == 0:
            return float(now)
        for sm in range(sms):
            if not touched[sm]:
                continue
            ends[sm] = np.inf
            for slot in range(residents):
                r = run_of[sm, slot]
                if r >= 0:
                    left[sm, slot] -= (now - since[sm]) / takes[sm, slot]
                    takes[sm, slot] = duration(
                        alone[r], local[r], shared[r], serial, phased, here[sm], total, active
                    )
                    ends[sm] = min(ends[sm], now + max(left[sm, slot], 0.0) * takes[sm, slot])
            since[sm] = now
        now, before = ends.min(), active
        for sm in range(sms):
            touched[sm] = ends[sm] <= now * (1.0 + NEARLY_DONE)
            if not touched[sm]:
                continue
            for slot in range(residents):
                done = left[sm, slot] - (now - since[sm]) / takes[sm, slot] <= NEARLY_DONE
                if run_of[sm, slot] >= 0 and done:
                    run_of[sm, slot] = -1
                    here[sm] -= 1
                    total -= 1
            active -= here[sm] == 0
        if active != before and run == last and taken == counts[run]:
            touched[:] = True  # in the tail, those that stay get more of the device
