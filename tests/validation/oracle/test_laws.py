"""Laws over drawn cases: a mask never costs more than none, a bus or network that never limits costs nothing."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.machine import LEAKAGE, Machine
from einsim.accel.noc import Noc
from einsim.dataflow import crossing, feed
from einsim.dataflow import lower as lowering
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.result import Result
from einsim.sim.engine import simulate
from einsim.specs.errors import SpecError
from einsim.specs.remembered import Remembered
from einsim.validation.oracle.compare import DrawnCase, draw, judge

UNEVEN = (
    "gram",
    "halo-chain",
    "window",
    "documents",
    "causal",
    "remainder",
    "n:m",
    "block",
    "depthwise",
    "one-pass",
)
BOUNDED = ("causal", "window", "late-keys", "causal-decode", "window-decode", "band", "documents")
ENDLESS = 10**15


def both_levels(case: DrawnCase) -> tuple[Result, Result] | None:
    try:
        check(case.mapping, case.work, case.chip)
    except SpecError:
        return None
    program = lower(case.mapping, case.work, case.chip)
    return analyse(program, case.chip), simulate(program, case.chip)


def dynamic(found: Result) -> dict[str, float]:
    return {name: energy for name, energy in found.energy_by.items() if name != LEAKAGE}


def masks(seed: int, count: int) -> int:
    held = 0
    for number in range(count):
        case = draw(seed, number, BOUNDED)
        masked = both_levels(case) if case else None
        if case is None or masked is None:
            continue
        whole = both_levels(msgspec.structs.replace(case, work=msgspec.structs.replace(case.work, bounds=())))
        for less, more in zip(masked, whole or (), strict=bool(whole)):
            held += 1
            assert less.cycles <= more.cycles, case.name
            assert all(energy <= dynamic(more)[of] * (1 + 1e-9) for of, energy in dynamic(less).items()), (
                case.name
            )
            for memory, tensors in less.traffic.items():
                assert all(size <= more.traffic[memory][name] for name, size in tensors.items()), case.name
    return held


def buses(chip: Machine, name: str, rate: int | None) -> Machine:
    memories = (
        msgspec.structs.replace(one, bus=name, bus_bytes_per_s=rate) if one.parent else one
        for one in chip.memories
    )
    return msgspec.structs.replace(chip, memories=tuple(memories), noc=None)


def fast_network(chip: Machine) -> Machine:
    return msgspec.structs.replace(chip, noc=Noc(bytes_per_s=ENDLESS, multicast=chip.multicast))


def ways(seed: int, count: int) -> tuple[int, int]:
    """How many runs over a bus or network that never limits were compared, and how many of them end more than
    a thousandth of a cycle apart: only where two requests of one port come at the same time, of which a
    millionth of a cycle on the way then makes another one the first.
    """
    held = apart = 0
    for number in range(count):
        case = draw(seed, number)
        if case is None:
            continue
        case = msgspec.structs.replace(case, chip=buses(case.chip, "", None))
        plain = both_levels(case)
        if plain is None:
            continue
        several = "cores" in case.chip.units[0].dims
        for chip in (buses(case.chip, "wire", ENDLESS), *((fast_network(case.chip),) if several else ())):
            held += 1
            for alone, passing in zip(
                plain, both_levels(msgspec.structs.replace(case, chip=chip)) or (), strict=True
            ):
                assert passing.traffic == alone.traffic, case.name
                assert dynamic(passing) == pytest.approx(dynamic(alone)), case.name
                late = (passing.latency_s - alone.latency_s) * chip.clock_hz
                assert alone.level == "sim" or abs(late) < 1e-3, case.name
                apart += abs(late) >= 1e-3
    return held, apart


def test_a_mask_never_costs_more_than_none() -> None:
    assert masks(0, 40) > 20


def test_what_never_limits_costs_nothing() -> None:
    held, apart = ways(0, 60)
    assert held > 30
    assert apart == 0


def rounded(seed: int, count: int) -> int:
    """Where no point is visited, every figure that differs from the oracle's is too much, and a note says so."""
    noted = 0
    for number in range(count):
        case = draw(seed, number, UNEVEN)
        verdict = judge(case) if case else None
        if case is None or verdict is None or not verdict.legal:
            continue
        notes = lower(case.mapping, case.work, case.chip).notes
        said = any("count as if whole" in note for note in notes)
        assert said or not verdict.found, case.name
        assert all("more" in one.kind for one in verdict.found), case.name
        noted += bool(verdict.found)
    return noted


@pytest.fixture
def no_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (feed, crossing):
        monkeypatch.setattr(module, "MOST_VISITED", 0)
    for remembered in ("_PROGRAMS", "_KNOWN"):  # else what was lowered so is found by the tests after it
        monkeypatch.setattr(lowering, remembered, Remembered(1_000_000))


def test_what_is_not_visited_is_rounded_up_and_said(no_visits: None) -> None:
    assert rounded(0, 70) > 4


@pytest.mark.slow
def test_what_is_not_visited_is_rounded_up_and_said_in_many(no_visits: None) -> None:
    assert rounded(1, 1500) > 100


@pytest.mark.slow
def test_a_mask_never_costs_more_than_none_in_many() -> None:
    assert masks(1, 1000) > 500


@pytest.mark.slow
def test_what_never_limits_costs_nothing_in_many() -> None:
    held, apart = ways(1, 600)
    assert held > 300
    assert apart <= held / 200
