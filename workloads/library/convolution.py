"""Convolutions through affine indices: plain, depthwise-separable and gated short convolution.

Two-dimensional inputs come padded: X reaches (Y - 1) * stride + R rows for Y rows of output.
"""

from __future__ import annotations

import math

import msgspec

from einsim.workloads.blocks.convolution import gated_text
from einsim.workloads.cascade import Cascade
from einsim.workloads.library.workload import Workload, with_bits
from einsim.workloads.notation import parse
from einsim.workloads.settings import Parameter, Settings
from einsim.workloads.sparsity import Density

_BITS = Parameter(name="bits", kind="size", default=16, summary="bits of every value")
_IMAGE = (
    Parameter(name="b", kind="size", default=1, summary="images"),
    Parameter(name="c", kind="size", default=64, summary="input channels"),
    Parameter(name="k", kind="size", default=64, summary="output channels"),
    Parameter(name="y", kind="size", default=56, summary="output rows"),
    Parameter(name="x", kind="size", default=56, summary="output columns"),
    Parameter(name="r", kind="size", default=3, summary="kernel rows"),
    Parameter(name="q", kind="size", default=3, summary="kernel columns"),
    Parameter(name="stride", kind="size", default=1, summary="step of the kernel"),
    _BITS,
)

_ZEROS = (
    Parameter(name="zeros", kind="text", default="0", summary="share of the inputs that is zero, anywhere"),
    Parameter(name="zero_results", kind="text", default="0", summary="share of the results that is zero"),
)

_CONV = "O[b,k,y,x] = I[b,c,y*{stride}+r,x*{stride}+q] * W[k,c,r,q]\n"

# Howard et al., MobileNets, arXiv 1704.04861: depthwise, ReLU6, pointwise; batch norm is in the weights.
_SEPARABLE = """
def relu6(v) = min(max(v, 0), 6)
DW[b,c,y,x] = I[b,c,y*{stride}+r,x*{stride}+q] * WD[c,r,q]
ACT[b,c,y,x] = relu6(DW[b,c,y,x])
PW[b,k,y,x] = ACT[b,c,y,x] * WP[k,c]
"""


def _image(settings: Settings, name: str, text: str) -> Cascade:
    sizes = {rank: settings.size(rank) for rank in ("b", "c", "k", "y", "x", "r", "q")}
    return with_bits(parse(text.format(stride=settings.size("stride")), name=name, sizes=sizes), settings)


def _conv(settings: Settings) -> Cascade:
    cascade = _image(settings, "conv", _CONV)
    shares = {"I": _share(settings, "zeros"), "O": _share(settings, "zero_results")}
    tensors = (
        msgspec.structs.replace(tensor, sparsity=Density(1 - shares[tensor.name]))
        if shares.get(tensor.name)
        else tensor
        for tensor in cascade.tensors
    )
    return msgspec.structs.replace(cascade, tensors=tuple(tensors))


def _share(settings: Settings, name: str) -> float:
    """What of a tensor is zero: at least 0, less than all of it."""
    try:
        found = float(settings.text(name))
    except ValueError:
        found = math.nan
    if not 0 <= found < 1:
        raise settings.error(name, "must be a share such as 0.6: at least 0, less than 1")
    return found


def _separable(settings: Settings) -> Cascade:
    return _image(settings, "depthwise-separable", _SEPARABLE)


def _gated(settings: Settings) -> Cascade:
    d = settings.size("d")
    sizes = {
        "b": settings.size("b"), "t": settings.size("seq"), "d": d, "i": settings.size("i", d),
        "o": d, "r": settings.size("r"),
    }  # fmt: skip
    return with_bits(
        parse(gated_text("X", "t", "O[b,t,o]"), name="gated-short-convolution", sizes=sizes), settings
    )


WORKLOADS = (
    Workload(
        name="conv", summary="two-dimensional convolution", parameters=(*_IMAGE, *_ZEROS),
        build=_conv,
    ),
    Workload(
        name="depthwise-separable", summary="depthwise convolution, ReLU6, pointwise convolution",
        parameters=_IMAGE, build=_separable,
    ),
    Workload(
        name="gated-short-convolution",
        summary="causal depthwise convolution of a few taps between two gates",
        parameters=(
            Parameter(name="b", kind="size", default=1, summary="batch"),
            Parameter(name="seq", kind="size", default=4096, summary="tokens"),
            Parameter(name="d", kind="size", default=2048, summary="hidden elements of a token"),
            Parameter(name="i", kind="size", summary="elements between the gates (d)"),
            Parameter(name="r", kind="size", default=3, summary="taps of the convolution"),
            _BITS,
        ),
        build=_gated,
    ),
)  # fmt: skip
