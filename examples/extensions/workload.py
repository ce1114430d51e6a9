"""A workload: a linear layer with a low-rank adapter beside it (Hu et al., arXiv 2106.09685)."""

from __future__ import annotations

import einsim

TEXT = """H[p,r] = X[p,d] * A[d,r]
L[p,s] = H[p,r] * B[r,s]
W[p,s] = X[p,d] * V[d,s]
Y[p,s] = W[p,s] + L[p,s]"""


def build(settings: einsim.Settings) -> einsim.Cascade:
    """The cascade; the adapter's rank is `rank`, since r is a rank of the cascade."""
    p, d, r = (settings.size(name) for name in ("p", "d", "rank"))
    return einsim.parse_cascade(TEXT, name="low-rank-adapter", sizes={"p": p, "d": d, "s": d, "r": r})


TOKENS = einsim.Parameter(name="p", kind="size", default=1024, summary="tokens")
WIDTH = einsim.Parameter(name="d", kind="size", default=1024, summary="width of the layer")
RANK = einsim.Parameter(name="rank", kind="size", default=16, summary="rank of the adapter")
einsim.register_workload(
    "low-rank-adapter", build, parameters=(TOKENS, WIDTH, RANK), summary="a linear layer and its adapter"
)


def main() -> None:
    """What the adapter adds, by its rank."""
    for rank in (8, 16, 64):
        result = einsim.evaluate("low-rank-adapter", "tpu-v4i", settings={"rank": rank}).result
        assert result.energy_j is not None  # tpu-v4i states all of it
        print(f"rank {rank}: {result.latency_s * 1e6:.1f} us, {result.energy_j * 1e3:.3f} mJ")


if __name__ == "__main__":
    main()
