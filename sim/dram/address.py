"""Addresses to places: channel, bank, row of each burst, by the standard's field order (mixed radix)."""

from __future__ import annotations

import msgspec
import numpy as np

from einsim.sim.dram.standard import Standard
from einsim.specs.arrays import Ints
from einsim.specs.errors import RuleError


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where each request lies: int64 arrays of one length; bank counts over all ranks of a channel."""

    channel: Ints
    bank: Ints
    row: Ints
    column: Ints


def places(standard: Standard, addresses: Ints) -> Places:
    """Byte addresses as places; an address inside a burst means the burst. RuleError outside the capacity."""
    rest = np.asarray(addresses, np.int64)
    if rest.size and (int(rest.min()) < 0 or int(rest.max()) >= standard.capacity_bytes):
        raise RuleError(
            f"must lie in 0..{standard.capacity_bytes - 1}",
            got=(int(rest.min()), int(rest.max())),
            at=("addr",),
        )
    rest = rest // standard.burst_bytes
    fields: dict[str, Ints] = {"rank": np.zeros_like(rest)}
    for name in reversed(standard.mapping):
        rest, fields[name] = np.divmod(rest, standard.organisation.sizes[name])
    tree = standard.organisation.tree
    bank = (fields["rank"] * tree.groups + fields["group"]) * tree.banks_per_group + fields["bank"]
    return Places(channel=fields["channel"], bank=bank, row=fields["row"], column=fields["column"])
