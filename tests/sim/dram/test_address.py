"""Laws of address mapping: a bijection between bursts and places, in the order that the standard names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.dram.address import places
from einsim.sim.dram.standard import names, standard
from einsim.specs.errors import RuleError
from tests.sim.dram.inverse import address_of

STANDARDS = {name: standard(name) for name in names()}


@settings(deadline=None)  # the first call compiles
@given(name=st.sampled_from(names()), data=st.data())
def test_an_address_is_the_address_of_its_place(name, data):
    chosen = STANDARDS[name]
    address = data.draw(st.integers(0, chosen.capacity_bytes - 1))
    place = places(chosen, np.array([address]))
    back = address_of(
        chosen,
        channel=int(place.channel[0]),
        bank=int(place.bank[0]),
        row=int(place.row[0]),
        column=int(place.column[0]),
    )
    assert back == address - address % chosen.burst_bytes


@pytest.mark.parametrize("name", names())
def test_a_sequential_stream_visits_channels_then_groups_then_columns(name):
    chosen = STANDARDS[name]
    groups, per_group = chosen.organisation.bank_groups.value, chosen.organisation.banks_per_group.value
    count = 4 * chosen.channels * groups
    place = places(chosen, np.arange(count) * chosen.burst_bytes)
    step = np.arange(count)
    assert (place.channel == step % chosen.channels).all()
    assert (place.bank == step // chosen.channels % groups * per_group).all()
    assert (place.column == step // chosen.channels // groups).all()
    assert (place.row == 0).all()


def test_outside_the_memory_is_refused():
    chosen = STANDARDS["ddr4-3200"]
    for address in (-1, chosen.capacity_bytes):
        with pytest.raises(RuleError, match="must lie in 0"):
            places(chosen, np.array([address]))
