"""An op: 2^x, which flash attention kernels use in the place of exp, and many units have in hardware."""

from __future__ import annotations

import numpy as np

import einsim

# On a vector unit whose file states no figure for exp2, it is a polynomial of 4 multiply-accumulates.
einsim.register_op("exp2", arity=1, meaning=np.exp2, made_of={"mac": 4})

SOFTMAX = """
rank p = 64, d = 256
M[p] = max[d](X[p,d])
E[p,d] = exp2(X[p,d] - M[p])
S[p] = sum[d](E[p,d])
Y[p,d] = E[p,d] / S[p]
"""


def main() -> None:
    """A softmax to the base 2: its values, and what it costs."""
    cascade = einsim.parse_cascade(SOFTMAX, name="softmax2")
    values = einsim.execute(cascade, {"X": np.random.default_rng(0).normal(size=(64, 256))})
    print(f"rows add up to one: {np.allclose(values['Y'].sum(axis=1), 1)}")
    found = einsim.evaluate(cascade, "tpu-v4i")
    print(f"{found.result.cycles} cycles, of which E takes {found.result.by_einsum['E'].cycles}")


if __name__ == "__main__":
    main()
