"""Laws over drawn cases: a mask never costs more than none, a bus or network that never limits costs nothing."""

from __future__ import annotations

from functools import partial

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
from einsim.sim.engine import Simulation, simulate
from einsim.sim.server import Server
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


Served = dict[str, list[tuple[int, list[int], float]]]


def served(case: DrawnCase, like: Served | None = None) -> tuple[Served, float]:
    """Whom each engine serves in turn, by operation, instance and cycle, and the cycle of the end; in the same
    turns as another run where one is given.
    """
    found: Served = {}
    run = Simulation(lower(case.mapping, case.work, case.chip), jump=False)
    cycle = run.program.ticks_per_cycle

    def grant(server: Server) -> None:
        server.kicked = False
        turns = found.setdefault(server.name, [])
        while server.room and server.queue:
            first = min(server.queue)
            if like is not None:
                following = like[server.name][len(turns)][:2]
                there = [one for one in server.queue if (one[4].op.id, one[4].position) == following]
                if not there:
                    return
                first = there[0]
            server.queue.remove(first)
            server.room -= 1
            turns.append((first[4].op.id, list(first[4].position), run.now() / cycle))
            first[3].succeed()

    for server in run.servers.values():
        server.grant = partial(grant, server)  # type: ignore[method-assign]
    run.go()
    return found, run.ledger.last / cycle


def same_in_turn(alone: DrawnCase, passing: DrawnCase) -> bool:
    """Whether all begins and ends at the same time where engines serve in the same turns."""
    turns, end = served(passing)
    others, last = served(alone, turns)
    return abs(end - last) < 1e-3 and all(
        abs(one[2] - other[2]) < 1e-3
        for name, mine in others.items()
        for one, other in zip(mine, turns[name], strict=True)
    )


def ways(seed: int, count: int) -> int:
    """How many runs over a bus or network that never limits were compared. Some end more than a thousandth of
    a cycle apart, where two requests come at the same time, of which a millionth of a cycle on the way makes
    another one the first: nothing else is late, so in the same turns they end together.
    """
    held = 0
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
            other = msgspec.structs.replace(case, chip=chip)
            for alone, passing in zip(plain, both_levels(other) or (), strict=True):
                assert passing.traffic == alone.traffic, case.name
                assert dynamic(passing) == pytest.approx(dynamic(alone)), case.name
                if abs(passing.latency_s - alone.latency_s) * chip.clock_hz >= 1e-3:
                    assert alone.level == "sim", case.name
                    assert same_in_turn(case, other), case.name
    return held


def test_a_mask_never_costs_more_than_none() -> None:
    assert masks(0, 8) > 4


def test_what_never_limits_costs_nothing() -> None:
    assert ways(0, 16) > 8


def test_of_two_that_come_at_once_a_bus_lets_another_be_the_first_and_nothing_is_late() -> None:
    case = draw(1, 4359, ("stride",))
    assert case is not None
    alone = msgspec.structs.replace(case, chip=buses(case.chip, "", None))
    passing, slow = (
        msgspec.structs.replace(alone, chip=buses(alone.chip, "wire", rate))
        for rate in (ENDLESS, int(alone.chip.clock_hz))
    )
    assert abs(served(alone)[1] - served(passing)[1]) > 1
    assert same_in_turn(alone, passing)
    assert not same_in_turn(alone, slow)


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
    assert rounded(0, 30) > 1


@pytest.mark.slow
def test_what_is_not_visited_is_rounded_up_and_said_in_many(no_visits: None) -> None:
    assert rounded(1, 1500) > 100


@pytest.mark.slow
def test_a_mask_never_costs_more_than_none_in_many() -> None:
    assert masks(1, 1000) > 500


@pytest.mark.slow
def test_what_never_limits_costs_nothing_in_many() -> None:
    assert ways(1, 600) > 300
