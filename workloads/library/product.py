"""A product of two matrices."""

from __future__ import annotations

from einsim.workloads.cascade import Cascade
from einsim.workloads.library.workload import Workload, with_bits
from einsim.workloads.notation import parse
from einsim.workloads.settings import Parameter, Settings

PARAMETERS = (
    Parameter(name="m", kind="size", default=1024, summary="rows of the first matrix and of the result"),
    Parameter(name="n", kind="size", default=1024, summary="columns of the second matrix and of the result"),
    Parameter(name="k", kind="size", default=1024, summary="what is summed over"),
    Parameter(name="bits", kind="size", default=16, summary="bits of every value"),
)


def _build(settings: Settings) -> Cascade:
    sizes = {rank: settings.size(rank) for rank in ("m", "n", "k")}
    return with_bits(parse("Z[m,n] = A[m,k] * W[k,n]\n", name="gemm", sizes=sizes), settings)


WORKLOADS = (Workload(name="gemm", summary="product of two matrices", parameters=PARAMETERS, build=_build),)
