"""Mappings that compute something else, or more than once: refused, and not right in the oracle either."""

from __future__ import annotations

import pytest

from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workloads.notation import parse
from tests.dataflow.read_text import parse_text
from tests.validation.oracle.small import machine

TWO = ("B[i,j] = exp(A[i,j])\nC[i,j] = B[i,j] * 2", {"i": 3, "j": 4})
AHEAD = ("where x + r <= 7\nH[x] = exp(I[x])\nO[x] = H[x+r] * W[r]", {"x": 8, "r": 2})
WIDER = ("B[i] = exp(A[i])\nC[i,j] = D[i,j] * 2", {"i": 3, "j": 4})
PARTS = ("G[m] = max[k](A[m,k])\nS[m,k] = A[m,k] - G[m]", {"m": 4, "k": 5})
TURNED = ("B[i,j] = exp(A[j,i])", {"i": 3, "j": 3})
PRODUCT = ("Z[m,n] = A[m,k] * B[k,n]", {"m": 2, "n": 2, "k": 4})


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (TWO, "keep A B C in gb x1\n  sequence\n    C on lanes\n    B on lanes"),
        (AHEAD, "keep I H O W in gb x1\n  for x/2\n    pipeline\n      H on lanes\n      O on grid rows=x"),
        (WIDER, "keep A B C D in gb x1\n  for j/2\n    sequence\n      B on lanes\n      C on lanes"),
        (PARTS, "keep A G S in near x1\n  sequence\n    G on lanes cores=k\n    S on lanes cores=k"),
        (TURNED, "keep A B in gb x1 overlay\n  for i/1\n    B on lanes lanes=j"),
        (PRODUCT, "keep A in gb x1\n  for k/2\n    keep B Z in gb x1 overlay\n      Z on grid rows=m cols=n"),
    ],
    ids=[
        "before it is made", "a step ahead", "again", "a part for the whole", "over bytes still wanted",
        "partial sums come back over an operand",
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(work: tuple[str, dict[str, int]], text: str) -> None:
    cascade = parse(work[0], name="wrong", sizes=work[1])
    chip = machine(cores=2, copies=2 if "near" in text else 1)
    mapping = parse_text(f"wrong on {chip.name} (test)\n{text}")
    found = judge(DrawnCase(name="", kind="", work=cascade, chip=chip, mapping=mapping), figures=False)
    assert not found.right
    assert not found.legal, found.found
