"""The suite catches faults: none of those planted into the code survives it."""

from __future__ import annotations

import msgspec
import pytest

from tests.validation.oracle.planted import ROOT, Planted, caught, stored_faults

QUICK = (
    "only the first read of a tensor is loaded", "the op that reduces is dropped",
    "a loop's last step is a whole one", "reading before it is made is taken",
    "the roof leaves out the cycles of a mac",
)  # fmt: skip


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.what, marks=() if fault.what in QUICK else pytest.mark.slow)
        for fault in stored_faults()
    ],
)
def test_a_planted_fault_is_caught(fault: Planted) -> None:
    assert caught(fault), f"{fault.file}: nobody sees that {fault.what}"


def test_faults_are_many_and_of_every_part() -> None:
    faults = stored_faults()
    names = {fault.what for fault in faults}
    assert len(names) == len(faults) >= 30
    assert names >= set(QUICK)
    parts = "footprint layout leaf feed lower crossing account iteration mask flow_rules legality held"
    assert {fault.file for fault in faults} >= {f"dataflow/{part}.py" for part in parts.split()}


def test_each_fault_has_its_place() -> None:
    for fault in stored_faults():
        assert (ROOT / fault.file).read_text().count(fault.text) == 1, f"{fault.file}: {fault.text}"


def test_nothing_is_caught_where_nothing_is_wrong() -> None:
    fault = next(fault for fault in stored_faults() if fault.file == "dataflow/leaf.py")
    sound = msgspec.structs.replace(fault, instead=fault.text, law="", kinds=("n:m", "recurrent"))
    assert not caught(sound, cases=12)


def test_a_fault_whose_text_is_gone_fails_with_its_place() -> None:
    gone = msgspec.structs.replace(stored_faults()[0], text="no such text")
    with pytest.raises(AssertionError, match="'no such text' stands there 0 times"):
        caught(gone)
