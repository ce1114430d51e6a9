"""The cascade answers for its parts, and equal cascades are equal, hash alike and survive pickling."""

from __future__ import annotations

import pickle

import msgspec
import pytest

from einsim.workloads.cascade import Access, Cascade, Einsum, Index, Rank, Tensor, Term
from einsim.workloads.library import build


def test_a_cascade_can_be_written_by_hand():
    def at(tensor, *ranks):
        return Access(tensor, tuple(Index((Term(1, rank),)) for rank in ranks))

    cascade = Cascade(
        name="copy",
        ranks=(Rank("m", 3), Rank("p", 4)),
        tensors=(Tensor("X", ("p", "m")), Tensor("Y", ("m", "p"), bits=8)),
        einsums=(Einsum(at("Y", "m", "p"), at("X", "p", "m")),),
    )
    assert cascade.shape("X") == (4, 3)
    assert cascade.elements("Y") == cascade.points("Y") == 12
    assert cascade.einsum("Y").ops == ()
    assert str(cascade).splitlines()[-1] == "Y[m,p] = X[p,m]"


def test_producers_consumers_inputs_and_outputs():
    cascade = build("attention")
    assert cascade.producer("Q") is None
    assert cascade.producer("SN") == cascade.einsum("SN")
    assert [einsum.name for einsum in cascade.consumers("QK")] == ["GM", "SN"]
    assert [tensor.name for tensor in cascade.inputs] == ["Q", "K", "V"]
    assert [tensor.name for tensor in cascade.outputs] == ["AV"]


def test_a_state_is_no_consumer_of_itself():
    cascade = build("attention", passes=1)
    assert [einsum.name for einsum in cascade.consumers("RM")] == ["SLN", "PRM"]


@pytest.mark.parametrize("look_up", ["rank", "size", "tensor", "einsum"])
def test_unknown_names_raise_key_errors(look_up):
    with pytest.raises(KeyError):
        getattr(build("attention"), look_up)("nothing")


def test_equal_cascades_hash_alike_and_survive_pickling():
    one, other = build("attention", passes=1), build("attention", passes=1)
    one.points("BQK")
    assert one == other == pickle.loads(pickle.dumps(one))
    assert len({one, other, build("attention")}) == 2


def test_a_changed_copy_forgets_what_the_original_worked_out():
    cascade = build("attention", seq=8)
    assert cascade.points("GM") == 64 * 12 * 64
    assert cascade.shape("K") == (64, 12, 64, 8)
    ranks = tuple(Rank(rank.name, 16 if rank.name == "m" else rank.size) for rank in cascade.ranks)
    longer = msgspec.structs.replace(cascade, ranks=ranks)
    assert longer.points("GM") == 64 * 12 * 128
    assert longer.shape("K") == (64, 12, 64, 16)
