"""Copy of a vector as data: one and four 4-byte accesses a thread, and one to eight of 16 bytes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from einsim.sim.gpu.case import KernelCase, Launch, Work, ceil_div, even

FAMILY = "copy"


class CopyVariant(msgspec.Struct, frozen=True, kw_only=True):
    """`unroll` accesses of `width` bytes a thread. registers: ptxas, sm_90a."""

    width: int
    unroll: int
    threads: int
    registers: int


VARIANTS = {
    "4byte-x1": CopyVariant(width=4, unroll=1, threads=256, registers=12),
    "4byte-x4": CopyVariant(width=4, unroll=4, threads=256, registers=31),
    "16byte-x1": CopyVariant(width=16, unroll=1, threads=256, registers=14),
    "16byte-x4": CopyVariant(width=16, unroll=4, threads=256, registers=32),
    "16byte-x8": CopyVariant(width=16, unroll=8, threads=128, registers=48),
}


def cases(shapes: Sequence[int]) -> tuple[KernelCase, ...]:
    """Every variant on every shape."""

    def one(variant: str, kind: CopyVariant, values: int) -> KernelCase:
        width = kind.threads * kind.unroll * kind.width
        launch = Launch(
            kernel="copy",
            runs=even(ceil_div(values * 4, width), 1),
            threads=kind.threads,
            registers=kind.registers,
            bytes_in_flight=kind.width * kind.unroll,
            tile={"n": width // 4},
            step=Work(
                alu_ops=2 * kind.threads * kind.unroll + 8 * kind.threads,
                global_read_bytes=width,
                global_write_bytes=width,
            ),
            unique_read_bytes=values * 4,
            unique_write_bytes=values * 4,
        )
        return KernelCase(
            family=FAMILY,
            variant=variant,
            cascade="copy",
            sizes={"n": values},
            launches=(launch,),
            useful_flops=0,
            bits=32,
            summary="one block a tile, no loop",
        )

    return tuple(one(v, a, n) for v, a in VARIANTS.items() for n in shapes)
