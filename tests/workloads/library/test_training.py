"""A linear layer's training step: gradients equal finite differences, pruned copies follow BDWP."""

from __future__ import annotations

import numpy as np
import pytest

from einsim.specs.errors import SpecError
from einsim.workloads.execute import execute, prune
from einsim.workloads.library import build
from einsim.workloads.sparsity import DENSE, NM

RNG = np.random.default_rng(9)


def step(**given):
    cascade = build("linear-training", n=3, i=8, o=16, **{"prune": "inline", **given})
    inputs = {tensor.name: RNG.normal(size=cascade.shape(tensor.name)) for tensor in cascade.inputs}
    return cascade, inputs, execute(cascade, inputs)


def test_the_dense_step_has_the_gradients_of_the_forward_product():
    _, given, found = step()
    np.testing.assert_allclose(found["FF"], given["X"] @ given["W"])

    def loss(x, w):
        return np.sum(given["DY"] * (x @ w))

    for name, gradient in (("X", found["BP"]), ("W", found["WU"])):
        at = tuple(RNG.integers(0, size) for size in given[name].shape)
        moved = {key: given[key].copy() for key in ("X", "W")}
        moved[name][at] += 0.5
        slope = (loss(moved["X"], moved["W"]) - loss(given["X"], given["W"])) / 0.5
        np.testing.assert_allclose(gradient[at], slope)


@pytest.mark.parametrize("pattern", [(2, 4), (2, 8), (1, 4)])
def test_bdwp_prunes_along_inputs_forward_and_along_outputs_backward(pattern):
    n, m = pattern
    cascade, given, found = step(sparsity=f"{n}:{m}")
    forward, backward = prune(given["W"], n, m, 0), prune(given["W"], n, m, 1)
    np.testing.assert_allclose(found["FF"], given["X"] @ forward)
    np.testing.assert_allclose(found["BP"], given["DY"] @ backward.T)
    np.testing.assert_allclose(found["WU"], given["X"].T @ given["DY"])
    assert (np.count_nonzero(found["Wff"].reshape(-1, m, 16), axis=1) == n).all()
    assert (np.count_nonzero(found["Wbp"].reshape(8, -1, m), axis=2) == n).all()
    assert cascade.tensor("Wff").sparsity == NM(n, m, "i")
    assert cascade.tensor("Wbp").sparsity == NM(n, m, "o")
    assert cascade.tensor("W").sparsity == DENSE
    assert cascade.tensor("W").bits == 32


def test_each_pruned_rank_is_the_one_its_product_sums():
    cascade, _, _ = step(sparsity="2:8")
    assert cascade.tensor("Wff").sparsity.rank in cascade.einsum("FF").reduced
    assert cascade.tensor("Wbp").sparsity.rank in cascade.einsum("BP").reduced


@pytest.mark.parametrize(("method", "ff", "bp"), [("forward", True, False), ("backward", False, True)])
def test_one_way_pruning_leaves_the_other_way_dense(method, ff, bp):
    _, given, found = step(sparsity="2:4", method=method)
    np.testing.assert_allclose(found["FF"], given["X"] @ (prune(given["W"], 2, 4, 0) if ff else given["W"]))
    np.testing.assert_allclose(
        found["BP"], given["DY"] @ (prune(given["W"], 2, 4, 1) if bp else given["W"]).T
    )


def test_copies_made_ahead_are_inputs_with_the_same_products():
    cascade, given, found = step(sparsity="2:8", prune="ahead")
    assert [einsum.name for einsum in cascade.einsums] == ["FF", "BP", "WU"]
    assert cascade.tensor("Wff").sparsity == NM(2, 8, "i")
    assert cascade.tensor("Wbp").sparsity == NM(2, 8, "o")
    np.testing.assert_allclose(found["FF"], given["X"] @ given["Wff"])
    np.testing.assert_allclose(found["BP"], given["DY"] @ given["Wbp"].T)
    dense, _, _ = step(prune="ahead")
    assert all(tensor.sparsity == DENSE for tensor in dense.tensors)


def test_the_update_moves_the_weights_against_their_gradient():
    _, given, found = step(update=True)
    np.testing.assert_allclose(found["WN"], given["W"] - given["LR"] * (given["X"].T @ given["DY"]))


def test_an_update_ahead_leaves_the_weights_and_the_next_steps_copies():
    cascade, given, found = step(update=True, sparsity="2:8", prune="ahead")
    assert {tensor.name for tensor in cascade.outputs} == {"FF", "BP", "WN", "Nff", "Nbp"}
    after = given["W"] - given["LR"] * (given["X"].T @ given["DY"])
    np.testing.assert_allclose(found["WN"], after)
    np.testing.assert_allclose(found["Nff"], prune(after, 2, 8, 0))
    np.testing.assert_allclose(found["Nbp"], prune(after, 2, 8, 1))
    assert cascade.tensor("Nff").sparsity == cascade.tensor("Wff").sparsity
    assert cascade.tensor("Nff").bits == cascade.tensor("Wff").bits


@pytest.mark.parametrize("pattern", ["5:4", "0:4", "half", "2:4:8"])
def test_a_bad_pattern_is_told(pattern):
    with pytest.raises(SpecError) as error:
        build("linear-training", sparsity=pattern)
    rule = "must be dense, or n:m with 1 <= n <= m, such as 2:8"
    assert str(error.value) == f"linear-training sparsity: {rule} (got '{pattern}')"
