"""The inverse of `einsim.sim.dram.address.places`, written apart."""

from __future__ import annotations

from einsim.sim.dram.standard import Standard


def address_of(standard: Standard, *, channel: int, bank: int, row: int, column: int) -> int:
    """The byte address of a place; `bank` counts over all ranks and groups of a channel."""
    org = standard.organisation
    rest, inner = divmod(bank, org.banks_per_group.value)
    rank, group = divmod(rest, org.bank_groups.value)
    fields = {
        "channel": (channel, org.channels), "rank": (rank, org.ranks), "group": (group, org.bank_groups),
        "bank": (inner, org.banks_per_group), "row": (row, org.rows), "column": (column, org.bursts_per_row),
    }  # fmt: skip
    address = 0
    for name in standard.mapping:
        place, size = fields[name]
        address = address * size.value + place
    return address * standard.burst_bytes
