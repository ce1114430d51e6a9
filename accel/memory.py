"""One memory of a machine: what it is filled from, its port, capacity and energies."""

from __future__ import annotations

from typing import Literal

import msgspec

from einsim.accel.codec import Codec
from einsim.accel.port import whole_accesses
from einsim.specs.errors import RuleError

Refresh = Literal["average", "exact", "per-bank"]


class Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One memory. `parent` is what it is filled from and empties to, or several such; None marks DRAM.

    Rates are bytes per second, None where they never limit; with `shared_port`, reads and writes share one
    port of `read_bytes_per_s`. Energies are pJ per access of `access_bytes`, None where they aren't stated.
    `holds` empty: any tensor.
    `timing` names a DRAM standard whose commands the simulation follows; "" is an ideal pipe.
    `timing_channels` is how many channels of it there are, 0 for the standard's own number.
    `refresh` "average" slows its clock by what refresh takes, "exact" sends each when it is due,
    "per-bank" bank by bank. `row_hit_cap`: column commands after which a row gives way to another one
    that the oldest burst of its bank waits for, 0 for never.
    `banks`: the memory is that many equal parts with a port each; tensors take them in turn, so two tensors
    in one bank wait for each other, and none gets more than its bank's share of the rate. What passes between
    this memory and its parent also passes `bus`, which memories of the same bus name share, and each such
    transfer costs `descriptor_cycles` of the machine's clock before its first byte. With `dma_engines`, each
    takes one of so many from its descriptor to its last byte, and the port is free during the descriptor.
    `copies`: one such memory stands in each of so many cores; capacity, rates and leakage are of all. A core
    reaches its own only, and has there what its points of the ranks along the cores need. `value_bits`:
    narrower values take so many bits here, as in accumulators. `codec`: how zeros are coded here.
    What a transfer reads here can be used `latency_cycles` of the machine's clock after its last byte passed;
    transfers that fill or empty a memory with `outstanding` wait until fewer than so many of them are between
    their start and that.
    """

    name: str
    parent: str | tuple[str, ...] | None
    capacity_bytes: int | None
    read_bytes_per_s: int | None
    write_bytes_per_s: int | None
    shared_port: bool = True
    access_bytes: int = 1
    read_pj: float | None = None
    write_pj: float | None = None
    leakage_w: float = 0.0
    holds: tuple[str, ...] = ()
    timing: str = ""
    timing_channels: int = 0
    refresh: Refresh = "average"
    row_hit_cap: int = 0
    banks: int = 1
    bus: str = ""
    bus_bytes_per_s: int | None = None
    descriptor_cycles: int = 0
    dma_engines: int = 0
    copies: int = 1
    value_bits: int = 0
    codec: Codec | None = None
    latency_cycles: int = 0
    outstanding: int = 0

    def __post_init__(self) -> None:
        if self.parent == ():
            raise RuleError("must name a memory; DRAM is the one that has no such key", at=("parent",))
        if self.parent is None and self.holds:
            raise RuleError("is for memories on the chip: DRAM holds everything", at=("holds",))
        if self.copies < 1 or (self.parent is None and self.copies > 1):
            raise RuleError("must be >= 1, and 1 for DRAM", got=self.copies, at=("copies",))
        if bool(self.bus) != (self.bus_bytes_per_s is not None):
            lacks, has = ("bus_bandwidth", "bus") if self.bus else ("bus", "bus_bandwidth")
            raise RuleError(f"is missing beside {has}: {self.name}'s bus needs both", at=(lacks,))
        for word in ("bus", "descriptor_cycles", "dma_engines", "value_bits", "outstanding"):
            if self.parent is None and getattr(self, word):
                raise RuleError("stands on the memory that is filled, not on DRAM", at=(word,))
        if self.timing and self.latency_cycles:
            raise RuleError("a timing has its own", got=self.latency_cycles, at=("latency_cycles",))
        if self.timing and self.banks > 1:
            raise RuleError("a timing has its own banks", got=self.banks, at=("banks",))
        if self.timing and self.parent is not None:
            rule = "only DRAM, the memory without a parent, has one"
            raise RuleError(rule, got=self.timing, at=("timing",))
        refresh = "" if self.refresh == "average" else self.refresh
        for word, got, why in (
            ("timing_channels", self.timing_channels, "channels it counts"),
            ("refresh", refresh, "refresh it is"), ("row_hit_cap", self.row_hit_cap, "rows it is for"),
        ):  # fmt: skip
            if got and not self.timing:
                raise RuleError(f"needs a timing, whose {why}", got=got, at=(word,))
        if self.timing and (self.read_bytes_per_s is None or not self.shared_port):
            raise RuleError("needs one shared bandwidth beside it", got=self.timing, at=("timing",))

    @property
    def parents(self) -> tuple[str, ...]:
        """The next memories outward; none of DRAM."""
        if isinstance(self.parent, str):
            return (self.parent,)
        return self.parent or ()

    def accesses(self, size_bytes: int) -> int:
        """Whole accesses that a transfer takes."""
        return whole_accesses(size_bytes, self.access_bytes)
