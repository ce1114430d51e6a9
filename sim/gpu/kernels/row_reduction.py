"""What the row reductions of reduction, softmax and layernorm do beside their loops: a block a row."""

from __future__ import annotations

from einsim.sim.gpu.case import Work, ceil_div

THREADS = 256
SHARED_BYTES = (THREADS + 32) * 4
# The 32 sums are read by everyone as eight broadcasts of 16 bytes, each of which takes a warp one wavefront
# of 128 bytes.
MERGE = Work(
    alu_ops=THREADS * (1 + 32 + 8) + 32 * 8,
    shared_write_bytes=THREADS * 4 + 32 * 4,
    shared_read_bytes=THREADS * 4 + THREADS // 32 * 8 * 128,
    barriers=3,
)


def setup(passes: int, columns: int) -> Work:
    """What every thread issues once a row beside its loops' bodies.

    As counted by ncu on an H100: 40 instructions at the start and 40 for the loop of every pass. Threads that
    four loads at a time don't serve to the end take single values: 8 more for each, and 40 to get there if
    they were in the first loop.
    """
    rest = columns % (4 * THREADS)
    once_more = max(0, rest - 3 * THREADS)  # threads for which the rest is four values
    share = 1.0 - once_more / THREADS if rest else 0.0
    singles = 3 if once_more else ceil_div(rest, THREADS)
    tail = share * passes * (8 * singles + (40 if columns > rest or once_more else 0))
    return Work(alu_ops=round(THREADS * (40 + 40 * passes + tail)))


def rounds(columns: int) -> int:
    """How often a thread waits in one pass over a row: four loads at a time, then one."""
    return columns // (4 * THREADS) + ceil_div(columns % (4 * THREADS), THREADS)
