"""The network to the cores: its rate, and whether it repeats what all of them want."""

from __future__ import annotations

import msgspec


class Noc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network that fills and empties the memories next to the cores, one transfer at a time, first come.

    What several cores need of a tile is sent once with `multicast`, else to each of them.
    """

    bytes_per_s: int
    multicast: bool = True
