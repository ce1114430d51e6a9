"""A kernel's case by the names that a capture's row has: family, variant and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels import attention_unfused, reduction
from einsim.sim.gpu.kernels.families import FAMILIES
from einsim.sim.gpu.kernels.sizes import refuse
from einsim.specs.errors import SpecError
from einsim.specs.near import near

PRODUCT = ("m", "n", "k")
RANKS: dict[str, tuple[str, ...]] = {  # whose sizes are a shape of the family, in this order
    "copy": ("n",),
    "reduction": ("p", "m"),
    "softmax": ("p", "m"),
    "layernorm": ("p", "m"),
    "gemm-f32": PRODUCT,
    "gemm-f16": PRODUCT,
    "gemm-sparse": PRODUCT,
    "attention-fused": ("h", "p"),
    "attention-unfused": ("h", "p"),
    "decode": ("h", "m"),
    "ffn": ("m", "d", "s"),
    "gemm-wgmma": PRODUCT,
    "gemm-sparse-wgmma": PRODUCT,
    "attention-wgmma": ("h", "g", "p"),
    "rmsnorm": ("p", "d"),
    "rope": ("p", "h", "e"),
    "swiglu": ("p", "s"),
    "gemv": ("n", "k"),
    "decode-grouped": ("h", "g", "m", "e"),
    "decode-tensor": ("h", "g", "m", "e"),
    "short-conv": ("b", "p", "d", "r"),
    "linear-attention": ("h", "p", "e"),
    "top-k": ("p", "m", "k"),
}


def named(family: str, variant: str, sizes: Mapping[str, int]) -> KernelCase:
    """The case; SpecError for a family, variant or rank that isn't there, or a size that its kernel doesn't
    take.
    """
    if family not in FAMILIES:
        raise SpecError("family", "no kernel family of this name", got=family, hint=near(family, FAMILIES))
    for rank, size in sizes.items():
        if size < 1 and rank != "causal":
            raise SpecError(f"sizes.{rank}", "must be >= 1", got=size)
    missing = [rank for rank in RANKS[family] if rank not in sizes]
    if missing:
        raise SpecError("sizes", f"{family} needs {', '.join(RANKS[family])}", got=_text(sizes))
    shape = tuple(sizes[rank] for rank in RANKS[family])
    if family == attention_unfused.FAMILY and sizes.get("g", 1) > 1:
        shape = (sizes["h"], sizes["g"], sizes["p"])
    cases = _cases(family, shape)
    own = [case for case in cases if case.variant == variant]
    if not own:
        names = tuple(dict.fromkeys(case.variant for case in cases))
        raise SpecError("variant", f"{family} has no such kernel", got=variant, hint=near(variant, names))
    found = next((case for case in own if case.sizes == dict(sizes)), None)
    if found is None:
        rule = f"the kernel's are {_text(own[0].sizes)}"
        raise SpecError("sizes", rule, got=_text(sizes))
    refuse(found)
    return found


def _text(sizes: Mapping[str, int]) -> str:
    return ";".join(f"{rank}={size}" for rank, size in sizes.items())


@cache
def _cases(family: str, shape: tuple[int, ...]) -> tuple[KernelCase, ...]:
    """Every variant on one shape."""
    shapes: Any = (shape if len(shape) > 1 else shape[0],)
    if family == reduction.FAMILY:
        shapes = {"rows": shapes} if shape[0] > 1 else {"rows": shapes, "vector": shapes}
    found: tuple[KernelCase, ...] = FAMILIES[family].cases(shapes)
    return found
