"""Mappings that were refused although they compute the right values: taken, and their figures are the oracle's."""

from __future__ import annotations

import itertools

import pytest

from einsim.accel.machine import Machine
from einsim.validation.oracle.compare import DrawnCase, Verdict, judge
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse
from tests.dataflow.read_text import parse_text
from tests.validation.oracle.small import machine

PRODUCT = parse("Z[m,n] = A[m,k] * B[k,n]", name="product", sizes={"m": 4, "n": 3, "k": 5})
TWICE = parse("Z[m,n] = sum[k,j](A[m,k,j] * B[k,n])", name="twice", sizes={"m": 3, "n": 2, "k": 4, "j": 3})
MASKED = parse(
    "where m <= p\nQK[m,p] = Q[e,p] * K[e,m]\nGM[p] = max[m](QK[m,p])",
    name="masked", sizes={"m": 6, "p": 6, "e": 2},
)  # fmt: skip


def verdict(work: Cascade, text: str, chip: Machine | None = None) -> Verdict:
    """A mapping that is taken, held against the oracle."""
    chip = chip or machine()
    made = parse_text(f"{work.name} on {chip.name} (test)\n{text}")
    found = judge(DrawnCase(name="", kind="", work=work, chip=chip, mapping=made))
    assert found.legal
    assert found.right
    return found


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (PRODUCT, "for k/2\n  keep A B Z in gb x1\n    Z on grid rows=m cols=n"),
        (PRODUCT, "keep A B in gb x1\n  for k/2\n    for m/3\n      keep Z in gb x2\n        Z on grid rows=m cols=n"),
        (PRODUCT, "for k/2\n  keep A B Z in gb x1\n    for m/3\n      for k/1\n        Z on grid rows=n"),
        (PRODUCT, "for k/3\n  keep A B Z in gb x2\n    for k/1\n      keep A B Z in near x1\n        Z on grid cols=n"),
        (PRODUCT, "keep A B Z in gb x1\n  for m/2\n    for k/2\n      keep A B Z in near x2\n        for n/2\n          Z on grid rows=k weight-stationary"),
        (TWICE, "keep A B in gb x1\n  for j/2\n    for m/2\n      for k/3\n        keep Z in gb x1\n          Z on lanes lanes=n"),
        (MASKED, "keep Q K in gb x1\n  pipeline\n    keep QK in gb x1\n      QK on grid rows=m\n    for m/2\n      for p/3\n        keep QK GM in gb x1\n          GM on lanes lanes=p"),
    ],
)  # fmt: skip
def test_partial_sums_in_an_inner_keep_go_out_and_in(work: Cascade, text: str) -> None:
    chip = machine(cores=2, copies=2) if "near" in text else machine()
    found = verdict(work, text, chip)
    assert not found.found, found.found


CAUSAL = parse("where m <= p\nG[p] = max[m](X[m,p])", name="causal", sizes={"m": 7, "p": 7})


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (PRODUCT, "keep A B Z in gb x1 / keep A B Z in near x1 / Z on grid cores=k rows=m cols=n"),
        (PRODUCT, "keep A B Z in gb x1 / keep A B Z in near x1 / Z on grid cores=k rows=k cols=n"),
        (PRODUCT, "for k/4 / keep A B Z in gb x1 / for n/2 / keep A B Z in near x1 / Z on grid cores=m*k cols=n"),
        (PRODUCT, "keep A B Z in gb x1 / for m/2 / keep Z in near x1 / for k/3 / keep A B in near x1 / Z on lanes cores=k*m lanes=n"),
        (TWICE, "keep A B Z in gb x1 / for j/2 / keep A B Z in near x1 / for k/3 / Z on lanes cores=k lanes=n"),
        (CAUSAL, "keep X G in gb x1 / for p/4 / keep X G in near x1 / G on lanes cores=m lanes=p"),
        (CAUSAL, "keep X G in gb x1 / for m/3 / keep X G in near x1 / for p/2 / G on lanes cores=p*m lanes=p"),
    ],
)  # fmt: skip
def test_cores_reduce_a_result_together(work: Cascade, text: str) -> None:
    for copies, flow in itertools.product((1, 3), ("", " weight-stationary")):
        chip = machine(cores=3, copies=copies, accumulator_bits=32)
        nodes = [n for n in text.split(" / ") if copies > 1 or "near" not in n]
        found = verdict(work, "\n".join("  " * at + n for at, n in enumerate(nodes)) + flow, chip)
        assert not found.found, found.found


def test_a_tile_beyond_what_is_left_is_one_step() -> None:
    text = "keep A B Z in gb x1\n  for m/{}\n    for m/{}\n      Z on grid rows=m cols=n"
    assert not verdict(PRODUCT, text.format(2, 4)).found


HALO = parse("H[x] = exp(I[x])\nO[x] = H[x-r] * W[r]\nwhere r <= x", name="halo", sizes={"x": 8, "r": 2})
LATE = parse(
    "where m >= 4\nG[p] = max[m](X[m,p])\nY[m,p] = X[m,p] - G[p]", name="late", sizes={"m": 8, "p": 3}
)


def test_what_an_earlier_iteration_has_made_may_be_read() -> None:
    found = verdict(
        HALO, "keep I H O W in gb x1\n  for x/2\n    pipeline\n      H on lanes\n      O on grid rows=x"
    )
    assert not found.found, found.found


def test_a_loop_of_which_bounds_leave_one_iteration_may_be_shared_with_a_reduction() -> None:
    found = verdict(
        LATE, "keep X G Y in gb x1\n  for m/4\n    sequence\n      G on lanes lanes=p\n      Y on lanes"
    )
    assert not found.found, found.found


def test_cores_that_do_not_share_out_a_rank_of_one_point_agree() -> None:
    work = parse("G[p] = max[m](X[m,p])\nY[m,p] = X[m,p] - G[p]", name="one", sizes={"m": 3, "p": 1})
    text = "keep X G Y in gb x1\n  keep X Y G in near x1\n    sequence\n      G on lanes cores=p\n      Y on lanes lanes=m"
    assert not verdict(work, text, machine(cores=2, copies=2)).found


TRIANGLE = parse("where i <= j\nB[i,j] = exp(A[i,j])", name="triangle", sizes={"i": 4, "j": 5})


def test_loops_over_single_points_that_a_bound_ties_leave_out_the_others() -> None:
    found = verdict(TRIANGLE, "for i/1\n  for j/1\n    keep A B in gb x1\n      B on lanes")
    assert not found.found, found.found


def test_rows_that_add_up_take_their_time() -> None:
    # 2 steps of 4 rows, whose products come together two by two: 4 cycles, while no memory needs more than 2
    work = parse("Z[m] = A[m,k] * B[k]", name="dot", sizes={"m": 2, "k": 4})
    assert not verdict(work, "keep A B Z in gb x1\n  Z on grid rows=k").found


LAST = parse(
    "initial S = 0\nS[t+1,c] = S[t,c] * D[c] + X[t,c]\nY[c] = S[T,c] * G[c]",
    name="last",
    sizes={"t": 7, "c": 3},
)


@pytest.mark.parametrize("tile", [2, 3, 7])
def test_an_einsum_takes_its_own_state_through_tiles_of_several_steps(tile: int) -> None:
    text = f"keep S D X G Y in gb x1\n  pipeline\n    for t/{tile}\n      S on lanes lanes=c\n    Y on lanes lanes=c"
    assert not verdict(LAST, text).found


SHARED = parse(
    "G[p] = max[m](X[m,p])\nS[m,p] = exp(X[m,p] - G[p])\nD[p] = sum[m](S[m,p])",
    name="shared",
    sizes={"m": 4, "p": 3},
)


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (SHARED, "keep X S in gb x1\n  keep G D in gb x1 overlay\n    sequence\n      G on lanes\n      for m/2\n        sequence\n          S on lanes\n          D on lanes"),
        (PRODUCT, "keep B in gb x1\n  keep A Z in gb x1 overlay\n    for n/1\n      Z on grid rows=m"),
        (parse("P[k,n] = prune[2:4,k](W[k,n])", name="cut", sizes={"k": 8, "n": 2}), "keep W P in gb x1\n  for k/2\n    P on lanes"),
        (parse("B[i,j] = exp(A[i,j])\nC[i,j] = B[i,j] * 2", name="split", sizes={"i": 4, "j": 3}), "keep A B C in gb x1\n  keep A B C in near x1\n    sequence\n      B on lanes cores=i\n      C on lanes cores=j"),
    ],
)  # fmt: skip
def test_what_is_no_longer_there_is_refused(work: Cascade, text: str) -> None:
    chip = machine(cores=2, copies=2) if "near" in text else machine()
    made = parse_text(f"{work.name} on {chip.name} (test)\n{text}")
    found = judge(DrawnCase(name="", kind="", work=work, chip=chip, mapping=made))
    assert not found.legal
    assert not found.right
