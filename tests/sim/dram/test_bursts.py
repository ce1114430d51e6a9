"""The bursts of a tile are those of its bytes, each in its place, channel by channel."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.dram.address import places
from einsim.sim.dram.bursts import MIDDLE, ROW_BITS, lay, most_bursts, radix
from einsim.sim.dram.channels import new_transfers
from einsim.sim.dram.standard import names, standard

STANDARDS = {name: standard(name) for name in names()}
MAPPINGS = (("row", "bank", "column", "group", "channel"), ("row", "column", "bank", "channel", "group"))


def laid(chosen, pieces):
    """(channel, bank, row, write) of every burst, in the order of each channel."""
    pieces = np.array(pieces, np.int64)
    transfers = new_transfers(1, chosen.channels, most_bursts(pieces, chosen.burst_bytes), keep=False)
    lay(0, transfers, pieces, radix(chosen))
    found = []
    for c in range(chosen.channels):
        for at in range(transfers.next[0, c], transfers.stop[0, c]):
            bank = int(transfers.bank[0, at])
            found.append((c, bank >> 1, int(transfers.row[0, at]), bank & 1))
    return found


@settings(max_examples=24, deadline=None)
@given(
    st.sampled_from(names()), st.sampled_from(MAPPINGS), st.integers(0, 10**7), st.integers(1, 5000),
    st.integers(0, 300), st.integers(0, 700), st.booleans(),
)  # fmt: skip
def test_every_byte_is_in_a_burst_and_every_burst_has_a_byte(name, mapping, start, size, run, gap, write):
    chosen = msgspec.structs.replace(STANDARDS[name], mapping=mapping)
    pitch = run + gap if run else 0
    piece = (start, size, run, pitch, int(write), 1)
    if run and run < size:
        inside = np.arange(size)
        bytes_ = start + inside // run * pitch + inside % run
    else:
        bytes_ = start + np.arange(size)
    bursts = np.unique(bytes_ // chosen.burst_bytes)
    where = places(chosen, bursts * chosen.burst_bytes)
    expected = sorted(
        zip(where.channel.tolist(), where.bank.tolist(), (where.row + MIDDLE + (1 << ROW_BITS)).tolist(),
            [int(write)] * len(bursts), strict=True)
    )  # fmt: skip
    assert sorted(laid(chosen, [piece])) == expected


def test_tensors_have_rows_of_their_own_and_begin_in_successive_banks():
    chosen = STANDARDS["hbm2e"]
    first, second = laid(chosen, [(0, 32, 0, 0, 0, 1)]), laid(chosen, [(0, 32, 0, 0, 0, 2)])
    assert (first[0][1], second[0][1]) == (0, 1)
    assert first[0][2] >> ROW_BITS != second[0][2] >> ROW_BITS


@pytest.mark.parametrize("start", [-4096, -64, 0])
def test_what_lies_before_a_tensor_has_places_too(start):
    chosen = STANDARDS["ddr4-3200"]
    here, there = laid(chosen, [(start, 256, 0, 0, 0, 1)]), laid(chosen, [(start + 2**30, 256, 0, 0, 0, 1)])
    assert [burst[:2] for burst in here] == [burst[:2] for burst in there]
