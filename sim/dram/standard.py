"""A DRAM standard: organisation, timing in clock cycles and energy per command, every figure with its source.

The tables stand in `standards/*.yaml`, one file a standard; a user's own file has the same form. Each
figure is `{value: 22, source: "...", assumed: true}`; `assumed` marks what no datasheet or standard at
hand confirmed. An HBM pseudo channel is a channel here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from einsim.specs.errors import RuleError, SpecError, below
from einsim.specs.loader import decode, load_yaml
from einsim.specs.near import near
from einsim.specs.registry import Registry

Number = TypeVar("Number")
FOLDER: Final = Path(__file__).parent / "standards"


class Sourced(msgspec.Struct, Generic[Number], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number with its source."""

    value: Number
    source: str
    assumed: bool = False


Figure = Sourced[int]
Real = Sourced[float]
NOT_STATED: Final = Figure(value=0, source="not stated")
ONE_RANK: Final = Figure(value=1, source="one rank where no other number is stated")


class BankTree(NamedTuple):
    """The banks of a channel; they are numbered rank by rank and in each group by group."""

    groups: int  # of a rank
    banks_per_group: int
    ranks: int = 1

    @property
    def per_rank(self) -> int:
        """Banks of a rank."""
        return self.groups * self.banks_per_group

    @property
    def banks(self) -> int:
        """Banks of the channel."""
        return self.ranks * self.per_rank


class Organisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Independent channels of ranks; in each rank, bank groups of banks of rows of bursts."""

    channels: Figure
    bank_groups: Figure
    banks_per_group: Figure
    rows: Figure
    bursts_per_row: Figure
    burst_bytes: Figure
    ranks: Figure = ONE_RANK

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name).value < 1:
                raise RuleError("must be >= 1", got=getattr(self, name).value, at=(name, "value"))

    @property
    def sizes(self) -> dict[str, int]:
        """How many values each field of an address has."""
        return {
            "channel": self.channels.value, "rank": self.ranks.value, "group": self.bank_groups.value,
            "bank": self.banks_per_group.value, "row": self.rows.value, "column": self.bursts_per_row.value,
        }  # fmt: skip

    @property
    def tree(self) -> BankTree:
        """The banks of a channel."""
        return BankTree(self.bank_groups.value, self.banks_per_group.value, self.ranks.value)


class Timing(msgspec.Struct, Generic[Number], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Least distances between commands, in cycles of the command clock.

    cl, cwl: RD or WR to its first data. burst: cycles of the data bus a burst takes.
    t_rcd_read, t_rcd_write: ACT to RD, WR. t_rp, t_rp_all: PRE, PREA to ACT and REF. t_ras: ACT to PRE.
    t_rc: ACT to ACT of one bank, and to REF.
    t_rrd_s, t_rrd_l: ACT to ACT, another group, the same group. t_faw: ACT to the fourth ACT after it.
    t_ccd_s, t_ccd_l: RD to RD and WR to WR. t_wr: end of write data to PRE. t_rtp: RD to PRE.
    t_wtr_s, t_wtr_l: end of write data to RD. t_rtw: RD to WR. t_rfc: REF to ACT.
    t_refi: mean distance of REFs.
    activate_clocks, precharge_clocks, column_clocks, refresh_clocks: how long a command holds its bus.
    separate_row_bus: 1 if ACT, PRE and REF have a command bus of their own (HBM), else 0.
    t_rtrs: cycles between the data of two ranks. t_rfc_bank: refresh of one bank, REFB to ACT and to REFB;
    0: not stated.
    """

    cl: Number
    cwl: Number
    burst: Number
    t_rcd_read: Number
    t_rcd_write: Number
    t_rp: Number
    t_rp_all: Number
    t_ras: Number
    t_rc: Number
    t_rrd_s: Number
    t_rrd_l: Number
    t_faw: Number
    t_ccd_s: Number
    t_ccd_l: Number
    t_wr: Number
    t_rtp: Number
    t_wtr_s: Number
    t_wtr_l: Number
    t_rtw: Number
    t_refi: Number
    t_rfc: Number
    activate_clocks: Number
    precharge_clocks: Number
    column_clocks: Number
    refresh_clocks: Number
    separate_row_bus: Number
    t_rtrs: Number
    t_rfc_bank: Number


class Clocks(Timing[int], frozen=True, kw_only=True):
    """Bare numbers of cycles."""

    t_rtrs: int = 0
    t_rfc_bank: int = 0


class TimingParameters(Timing[Figure], frozen=True, kw_only=True):
    """Cycles with their sources; RuleError for numbers that contradict each other."""

    t_rtrs: Figure = NOT_STATED
    t_rfc_bank: Figure = NOT_STATED

    def __post_init__(self) -> None:
        clocks = self.clocks
        for name, value in msgspec.structs.asdict(clocks).items():
            least = 0 if name in {"separate_row_bus", "t_rtrs", "t_rfc_bank"} else 1
            if value < least:
                raise RuleError(f"must be >= {least}", got=value, at=(name, "value"))
        _rule(
            clocks.t_ccd_s >= clocks.burst, "t_ccd_s", "must be >= burst, the data bus is one", clocks.t_ccd_s
        )
        _rule(clocks.t_ccd_l >= clocks.t_ccd_s, "t_ccd_l", "must be >= t_ccd_s", clocks.t_ccd_l)
        _rule(clocks.t_rrd_l >= clocks.t_rrd_s, "t_rrd_l", "must be >= t_rrd_s", clocks.t_rrd_l)
        _rule(clocks.t_wtr_l >= clocks.t_wtr_s, "t_wtr_l", "must be >= t_wtr_s", clocks.t_wtr_l)
        _rule(clocks.t_rc >= clocks.t_ras, "t_rc", "must be >= t_ras", clocks.t_rc)
        busy = clocks.cl + clocks.burst - clocks.cwl
        _rule(clocks.t_rtw >= busy, "t_rtw", f"must be >= cl + burst - cwl = {busy}", clocks.t_rtw)
        closing = clocks.t_rfc + clocks.t_ras + clocks.t_rp_all
        _rule(
            clocks.t_refi > closing,
            "t_refi",
            f"must be > t_rfc + t_ras + t_rp_all = {closing}",
            clocks.t_refi,
        )

    @property
    def clocks(self) -> Clocks:
        """The numbers without their sources."""
        return Clocks(**{name: getattr(self, name).value for name in self.__struct_fields__})


class CommandEnergy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Energy of one command on one channel, and what a channel draws while it stands by.

    activate_pj: ACT and the PRE that ends it. read_pj, write_pj: one burst with its I/O. refresh_pj: one
    all-bank REF over what stands by meanwhile. background_w (IDD3N): one channel, always; where
    precharge_standby_w (IDD2N) is stated, only while its ranks have rows open or are refreshed.
    """

    activate_pj: Real
    read_pj: Real
    write_pj: Real
    refresh_pj: Real
    background_w: Real
    precharge_standby_w: Real | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            figure = getattr(self, name)
            if figure is not None and not figure.value >= 0:
                raise RuleError("must be >= 0", got=figure.value, at=(name, "value"))
        standby = self.precharge_standby_w
        if standby is not None and standby.value > self.background_w.value:
            rule = f"must be <= background_w = {self.background_w.value}"
            raise RuleError(rule, got=standby.value, at=("precharge_standby_w", "value"))


class Standard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One DRAM standard; `mapping` names the address fields from the highest to the lowest."""

    name: str
    title: str
    clock_hz: Real
    mapping: tuple[str, ...]
    organisation: Organisation
    timing: TimingParameters
    energy: CommandEnergy

    def __post_init__(self) -> None:
        tree = self.organisation.tree
        fields = ("row", "bank", "group", "column", "channel", *(["rank"] if tree.ranks > 1 else []))
        if sorted(self.mapping) != sorted(fields):
            raise RuleError(f"must hold each of {', '.join(fields)} once", got=self.mapping, at=("mapping",))
        timing = self.timing.clocks
        if tree.ranks > 1 and not timing.t_rtrs:
            rule = f"must be stated where a channel has {tree.ranks} ranks"
            raise RuleError(rule, got="not stated", at=("timing", "t_rtrs"))
        closing = timing.t_rfc_bank + timing.t_ras + timing.t_rp
        if timing.t_rfc_bank and timing.t_refi // tree.banks <= closing:
            rule = f"must leave t_refi / {tree.banks} banks > t_rfc_bank + t_ras + t_rp = {closing}"
            raise RuleError(rule, got=timing.t_rfc_bank, at=("timing", "t_rfc_bank", "value"))
        if not self.clock_hz.value > 0:
            raise RuleError("must be > 0", got=self.clock_hz.value, at=("clock_hz", "value"))

    @property
    def channels(self) -> int:
        """Independent channels."""
        return self.organisation.channels.value

    @property
    def banks(self) -> int:
        """Banks of a channel, in all its ranks."""
        return self.organisation.tree.banks

    @property
    def burst_bytes(self) -> int:
        """Bytes that one RD or WR moves."""
        return self.organisation.burst_bytes.value

    @property
    def capacity_bytes(self) -> int:
        """Bytes of all channels."""
        org = self.organisation
        return self.channels * self.banks * org.rows.value * org.bursts_per_row.value * self.burst_bytes

    @property
    def peak_bytes_per_s(self) -> float:
        """Bytes a second when every data bus is always busy."""
        return self.channels * self.burst_bytes / self.timing.burst.value * self.clock_hz.value

    def refresh_pj(self, *, per_bank: bool) -> float:
        """Energy of one REF, or of one REFB: an all-bank REF does the same to each bank of a rank."""
        return self.energy.refresh_pj.value / (self.organisation.tree.per_rank if per_bank else 1)

    def energy_j(
        self, counts: Mapping[str, int], refresh_pj: float, seconds: float, closed_s: float
    ) -> dict[str, float]:
        """Energy by command, of `counts` by name, and what all channels draw standing by ("background").

        `closed_s` is how long ranks had no row open, added up.
        """
        energy = self.energy
        each = {"activate": energy.activate_pj.value, "read": energy.read_pj.value,
                "write": energy.write_pj.value, "refresh": refresh_pj}  # fmt: skip
        background = self.channels * energy.background_w.value * seconds
        if energy.precharge_standby_w is not None:
            saved_w = energy.background_w.value - energy.precharge_standby_w.value
            background -= saved_w * closed_s / self.organisation.tree.ranks
        found = {name: count * each[name] * 1e-12 for name, count in counts.items()}
        return {**found, "background": background}

    @property
    def assumed(self) -> tuple[str, ...]:
        """Dotted names of the figures that no source at hand confirmed."""
        found = [f"{part}.{name}" for part in ("organisation", "timing", "energy")
                 for name in getattr(self, part).__struct_fields__
                 if getattr(getattr(getattr(self, part), name), "assumed", False)]  # fmt: skip
        return (*(["clock_hz"] if self.clock_hz.assumed else []), *found)


STANDARDS: Final = Registry("DRAM standard", {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))})
"""The file of each standard by name."""


def names() -> tuple[str, ...]:
    """The standards that come with einsim, then the user's."""
    return tuple(STANDARDS)


def standard(name: str) -> Standard:
    """A standard by name, or from a file if `name` ends in .yaml; SpecError if none or wrong."""
    if name.endswith((".yaml", ".yml")):
        return decode(load_yaml(Path(name)), Standard, "dram")
    if name not in STANDARDS:
        raise SpecError("dram", "no standard of that name", got=name, hint=near(name, STANDARDS))
    return decode(load_yaml(STANDARDS[name]), Standard, "dram")


def _rule(holds: bool, name: str, rule: str, got: int) -> None:
    if not holds:
        with below(name, "value"):
            raise RuleError(rule, got=got)
