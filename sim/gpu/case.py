"""A GPU kernel as data: the cascade it realises, its mapping, and what every block of it does.

A `KernelCase` holds all that a timing model needs and nothing that was measured. Blocks are listed in
dispatch order as runs of equal blocks; a block runs `prologue`, then `step` as often as its run says, then
`epilogue`. Operation counts are lane operations over the whole block (one FMA = one), bytes are counted
where they are moved: `global_*` between the SM and L2, `shared_*` at shared memory. Bytes that must cross
DRAM are the launch's `unique_*_bytes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import msgspec


class Work(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one block does in one phase. FLOPs of `mma.sp` and of 2:4 `wgmma` are the dense-equivalent ones
    (both halves of a 2:4 row). uniform_ops: operations that a warp does once for all its lanes, each counted
    as 32; they take an issue slot, and lanes don't wait for them.
    """

    tensor_flops: int = 0
    sparse_tensor_flops: int = 0
    wgmma_flops: int = 0
    sparse_wgmma_flops: int = 0
    fma_ops: int = 0
    sfu_ops: int = 0
    alu_ops: int = 0
    uniform_ops: int = 0
    shared_read_bytes: int = 0
    shared_write_bytes: int = 0
    global_read_bytes: int = 0
    global_write_bytes: int = 0
    barriers: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(**{f: getattr(self, f) + getattr(other, f) for f in self.__struct_fields__})

    def times(self, count: int) -> Work:
        """This work, `count` times."""
        return Work(**{f: getattr(self, f) * count for f in self.__struct_fields__})

    def share(self, among: int) -> Work:
        """An equal part of this work, rounded up."""
        return Work(**{f: ceil_div(getattr(self, f), among) for f in self.__struct_fields__})


class BlockRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`blocks` consecutive blocks, in dispatch order, of `steps` steps each."""

    blocks: int
    steps: int


class Launch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One kernel launch: its grid, what a block occupies, and what it does.

    registers: per thread, as ptxas reports for sm_90a. shared_bytes: per block, static and dynamic
    together. bytes_in_flight: per thread, global loads outstanding before the first is used (for bandwidth
    by latency). waits: of a block that walks its data in passes, how often it waits for new data, and for
    data that was read before. shared_reads: bytes that every block reads again, beside its own.
    shared_waits: of the waits for data read before, those for such bytes, which the first blocks find in
    DRAM. in_turn: a warp's pipes take turns within a step, because each needs what the one before gave
    (scores, exponentials, values); a block of four warps has no others that would fill the gaps. products:
    by warp groups (`wgmma`), which read their operands from shared memory themselves, while the products
    run. after_waits: round trips to L2 after the last block's work, of blocks that wait for one another.
    hot_requests: for one and the same line of L2 (rows of a tile beyond the matrix read its last row).
    edge_rows: of tiles by TMA that lie beyond their matrix, in all steps.
    """

    kernel: str
    runs: tuple[BlockRun, ...]
    threads: int
    registers: int
    shared_bytes: int = 0
    stages: int = 1
    bytes_in_flight: int = 4
    waits: tuple[int, int] | None = None
    shared_reads: int = 0
    shared_waits: int = 0
    in_turn: bool = False
    products: bool = False
    after_waits: int = 0
    hot_requests: int = 0
    edge_rows: int = 0
    tile: dict[str, int] = {}
    prologue: Work = Work()
    step: Work = Work()
    epilogue: Work = Work()
    unique_read_bytes: int = 0
    unique_write_bytes: int = 0

    @cached_property
    def grid(self) -> int:
        """Blocks of the launch."""
        return sum(run.blocks for run in self.runs)

    @cached_property
    def steps(self) -> int:
        """Steps of all blocks together."""
        return sum(run.blocks * run.steps for run in self.runs)

    @cached_property
    def total(self) -> Work:
        """The work of the whole launch."""
        return (self.prologue + self.epilogue).times(self.grid) + self.step.times(self.steps)


class KernelCase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One kernel variant on one problem size.

    cascade: the name of the cascade in `workloads/` that it realises. sizes: that cascade's ranks.
    useful_flops: what the mathematics needs (a causal mask halves it, padding doesn't raise it).
    """

    family: str
    variant: str
    cascade: str
    sizes: dict[str, int]
    launches: tuple[Launch, ...]
    useful_flops: int
    bits: int
    summary: str = ""

    @property
    def key(self) -> str:
        """A stable name: family/variant/rank=size;..."""
        return f"{self.family}/{self.variant}/" + ";".join(
            f"{rank}={size}" for rank, size in self.sizes.items()
        )

    @property
    def unique_bytes(self) -> int:
        """Bytes that all launches together must read and write at least once each."""
        return sum(launch.unique_read_bytes + launch.unique_write_bytes for launch in self.launches)

    @cached_property
    def total(self) -> Work:
        """The work of all launches."""
        out = Work()
        for launch in self.launches:
            out = out + launch.total
        return out


def even(blocks: int, steps: int) -> tuple[BlockRun, ...]:
    """All blocks alike."""
    return (BlockRun(blocks=blocks, steps=steps),)


def merged(steps: Iterable[int]) -> tuple[BlockRun, ...]:
    """Runs of equal neighbours, from the steps of every block in dispatch order."""
    runs: list[BlockRun] = []
    for count in steps:
        if runs and runs[-1].steps == count:
            runs[-1] = BlockRun(blocks=runs[-1].blocks + 1, steps=count)
        else:
            runs.append(BlockRun(blocks=1, steps=count))
    return tuple(runs)


def in_warps(threads: int) -> int:
    """Lanes of the warps that so many threads are in: a warp issues for all of its lanes."""
    return ceil_div(threads, 32) * 32


def ceil_div(value: int, by: int) -> int:
    """The quotient, rounded up."""
    return -(-value // by)
