"""What of a state leaves a keep: the steps that are still to be read, each as a whole."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, Pipeline, Sequence, chain, keep
from einsim.dataflow.templates import build_mapping
from einsim.validation.oracle.check import check_mapping
from einsim.workloads.notation import parse
from tests.validation.oracle.small import machine, outcome, right


@pytest.mark.parametrize("tiled", [(), ("c",), ("c", "j")])
def test_of_a_step_that_is_read_in_part_all_that_was_made_leaves(tiled: tuple[str, ...]) -> None:
    """As of any other result: 6 values in one transfer, or in one for each tile, of which one is read (909:3450)."""
    text = "initial S = 0\nS[t+1,c,j] = X[t,c,j]\nY[q] = W[q] * S[T,0,1]"
    work = parse(text, name="part", sizes={"t": 5, "c": 3, "j": 2, "q": 3})
    loops = ((rank, 1) for rank in tiled)
    state = chain(*loops, keep("S", "gb"), ("t", 1), keep("X", "gb"), Compute(einsum="S", unit="lanes"))
    tree = Sequence(children=(state, chain(keep("W S Y", "gb"), Compute(einsum="Y", unit="lanes"))))
    found = outcome(work, machine(), tree)
    assert right(work, found)
    assert found.books.writes["dram", "S"] == 3 * 2 * 2
    assert found.books.reads["dram", "S"] == 2
    mapping = Mapping(cascade="part", machine="small", template="hand", tree=tree)
    counted = analyse(lower(mapping, work, machine()), machine())
    assert counted.traffic["dram"]["S"] == 3 * 2 * 2 + 2


def test_a_step_that_the_next_one_reads_in_part_leaves_whole_for_it() -> None:
    """The keep stands inside the loop over steps; the last one is read by nobody."""
    text = "initial S = 0\nS[t+1,c] = S[t,0] * X[t,c]\nY[t,c] = S[t+1,c] * G[c]"
    work = parse(text, name="handed", sizes={"t": 5, "c": 3})
    leaves = tuple(Compute(einsum=name, unit="lanes") for name in "SY")
    tree = chain(("t", 1), keep("S X G Y", "gb"), Pipeline(children=leaves))
    found = outcome(work, machine(), tree)
    assert right(work, found)
    assert found.books.writes["dram", "S"] == 4 * 3 * 2
    assert found.books.reads["dram", "S"] == 4 * 2
    mapping = Mapping(cascade="handed", machine="small", template="hand", tree=tree)
    assert check_mapping(work, machine(), mapping).equal


MIDDLE = {
    "one before the last": ("Y[q] = W[q] * S[T-1,0]\nZ[q] = W[q] * S[T,0]", ()),
    "both by one": ("Y[q] = W[q] * S[1,0] * S[T,0]", ()),
    "two before": ("Y[t] = V[t] * S[t,1] * S[t-1,0]", ("t >= 1",)),
    "elements of the last": ("Y[q] = W[q] * S[T,0] * S[T,1]", None),
    "its initial value too": ("Y[q] = W[q] * S[0,0] * S[T,0]", None),
}


@pytest.mark.parametrize("read", MIDDLE)
@pytest.mark.parametrize("accel", ["u280-flightllm", "tpu-v4i"])
def test_a_step_in_the_middle_is_there_for_who_reads_it(read: str, accel: str) -> None:
    """All steps are kept for it, which counts an upper value; the last step stood for it before."""
    reads, where = MIDDLE[read]
    lines = [f"where {bound}" for bound in where or ()]
    text = "\n".join([*lines, "initial S = 0", "S[t+1,c] = S[t,c] * X[t,c]", reads])
    work, chip = parse(text, name="middle", sizes={"t": 4, "c": 3, "q": 3}), load_machine(accel)
    assert work.overwritten == ({} if where is not None else {"S": ("t",)})
    report = check_mapping(work, chip, build_mapping(work, chip))
    assert report.equal
    assert bool(report.upper) == (where is not None)
