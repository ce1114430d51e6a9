"""Matrix products as cases: every variant of a family on every shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from einsim.sim.gpu.case import KernelCase, Launch

Tiling = TypeVar("Tiling")


def products(
    family: str, variants: Mapping[str, Tiling], launch: Callable[[Tiling, int, int, int], Launch],
    shapes: Sequence[tuple[int, int, int]], *, bits: int, summary: str, sparse: bool = False,
) -> tuple[KernelCase, ...]:  # fmt: skip
    """Every variant on every shape (m, n, k); of a `sparse` one two of four values along k are multiplied."""
    return tuple(
        KernelCase(
            family=family,
            variant=variant,
            cascade="gemm-2-4" if sparse else "gemm",
            sizes={"m": m, "n": n, "k": k},
            launches=(launch(tiling, m, n, k),),
            useful_flops=(1 if sparse else 2) * m * n * k,
            bits=bits,
            summary=summary,
        )
        for variant, tiling in variants.items()
        for m, n, k in shapes
    )
