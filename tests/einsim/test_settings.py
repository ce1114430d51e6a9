"""Settings go to the workload or to the machine, never to both and never to neither."""

from __future__ import annotations

import pytest

from einsim.cli.settings import spread
from einsim.settings import read_pairs, split
from einsim.specs.errors import SpecError

WORKLOAD = ("seq", "model", "clock")
MACHINE = ("clock", "array", "array.rows", "buffer")


def test_each_key_goes_to_whom_knows_it() -> None:
    workload, machine = split({"seq": "4K", "array.rows": "8", "buffer": "1MiB"}, WORKLOAD, MACHINE)
    assert workload == {"seq": "4K"}
    assert machine == {"array.rows": "8", "buffer": "1MiB"}


def test_the_prefix_forces_the_machine_and_is_taken_off() -> None:
    assert split({"accel.clock": "1GHz", "accel.seq": "1"}, WORKLOAD, MACHINE) == (
        {},
        {"clock": "1GHz", "seq": "1"},
    )


def test_a_key_that_both_know_is_refused_with_the_way_out() -> None:
    with pytest.raises(SpecError, match=r"^--set clock: both .* write accel\.clock for the machine's$"):
        split({"clock": "1GHz"}, WORKLOAD, MACHINE)


def test_a_key_that_neither_knows_is_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"^--set bufer: neither .*; did you mean 'buffer'\?$"):
        split({"bufer": "1MiB"}, WORKLOAD, MACHINE)


def test_a_value_may_hold_an_equals_sign() -> None:
    assert read_pairs(["a=b=c"]) == {"a": "b=c"}


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("--set a=1 b=2 --json", "--set a=1 --set b=2 --json"),
        ("--set a=1 work --json", "--set a=1 work --json"),
        ("--set=a=1 b=2", "--set=a=1 --set b=2"),
        ("--set a=1 --set b=2", "--set a=1 --set b=2"),
        ("work --accel x=y", "work --accel x=y"),
        ("--set a=1 -- b=2", "--set a=1 -- b=2"),
    ],
)
def test_set_takes_every_pair_that_follows(given: str, understood: str) -> None:
    assert spread(given.split()) == understood.split()
