"""The network to the cores: its rate, and whether it repeats what all of them want."""

from __future__ import annotations

import msgspec

from einsim.specs.units import BytesPerSecond


class Noc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network that fills and empties the memories next to the cores, one transfer at a time, first come.

    What several cores need of a tile is sent once with `multicast`, else to each of them.
    """

    bytes_per_s: int
    multicast: bool = True


class WrittenNoc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network that fills and empties the memories next to the cores: `{bandwidth: 128GB/s}`."""

    bandwidth: BytesPerSecond
    """Rate of the network to the cores, one transfer at a time."""
    multicast: bool | None = None
    """Whether what all cores need is sent once; the machine's own `multicast` where it is left out."""

    def noc(self, *, multicast: bool = True) -> Noc:
        """The network; where it says nothing of multicast, as the machine says."""
        return Noc(
            bytes_per_s=int(self.bandwidth),
            multicast=multicast if self.multicast is None else self.multicast,
        )
