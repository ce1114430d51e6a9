"""Normalisations over one rank: softmax, layer norm (three ways) and RMS norm."""

from __future__ import annotations

from einsim.workloads.blocks.norm import EPSILON, norm_text
from einsim.workloads.cascade import Cascade
from einsim.workloads.library.workload import Workload, with_bits
from einsim.workloads.notation import parse
from einsim.workloads.settings import Parameter, Settings

VARIANTS = ("naive", "moments", "welford")

_SIZES = (
    Parameter(name="p", kind="size", default=4096, summary="fibres: rows that are normalised"),
    Parameter(name="d", kind="size", default=768, summary="elements of a fibre"),
    Parameter(name="bits", kind="size", default=16, summary="bits of every value"),
)

_MOMENTS = f"""
SX[p] = sum[d](X[p,d])
SXX[p] = X[p,d] * X[p,d]
MU[p] = SX[p] * (1 / D)
ISD[p] = rsqrt(SXX[p] * (1 / D) - MU[p] * MU[p] + {EPSILON})
Y[p,d] = (X[p,d] - MU[p]) * ISD[p] * G[d] + B[d]
"""

# Welford, Technometrics 4(3), 1962: MU is the mean, SQ the sum of squared deviations so far.
_WELFORD = f"""
initial MU = 0
initial SQ = 0
DX[p,d] = X[p,d] - MU[p,d]
MU[p,d+1] = MU[p,d] + DX[p,d] / (d + 1)
SQ[p,d+1] = SQ[p,d] + DX[p,d] * (X[p,d] - MU[p,d+1])
ISD[p] = rsqrt(SQ[p,D] * (1 / D) + {EPSILON})
Y[p,d] = (X[p,d] - MU[p,D]) * ISD[p] * G[d] + B[d]
"""

_SOFTMAX = """
GM[p] = max[d](X[p,d])
SN[p,d] = exp(X[p,d] - GM[p])
SD[p] = sum[d](SN[p,d])
Y[p,d] = SN[p,d] / SD[p]
"""


def _built(settings: Settings, name: str, text: str) -> Cascade:
    sizes = {"p": settings.size("p"), "d": settings.size("d")}
    return with_bits(parse(text, name=name, sizes=sizes), settings)


def _layernorm(settings: Settings) -> Cascade:
    variant = settings.text("variant")
    naive = norm_text("layernorm", "X", "Y", "", lead="p")
    text = {"naive": naive, "moments": _MOMENTS, "welford": _WELFORD}[variant]
    return _built(settings, f"layernorm-{variant}", text)


def _rmsnorm(settings: Settings) -> Cascade:
    return _built(settings, "rmsnorm", norm_text("rmsnorm", "X", "Y", "", lead="p"))


def _softmax(settings: Settings) -> Cascade:
    return _built(settings, "softmax", _SOFTMAX)


WORKLOADS = (
    Workload(
        name="softmax", summary="softmax over d, shifted by the maximum", parameters=_SIZES, build=_softmax
    ),
    Workload(
        name="layernorm", summary="layer norm over d: naive, from moments, or by Welford's recurrence",
        parameters=(
            Parameter(name="variant", kind="choice", choices=VARIANTS, default="naive",
                summary="how the variance is found",
            ),
            *_SIZES,
        ),
        build=_layernorm,
    ),
    Workload(name="rmsnorm", summary="RMS norm over d", parameters=_SIZES, build=_rmsnorm),
)  # fmt: skip
