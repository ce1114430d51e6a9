"""What groups cost at least: no point of theirs is below it, on whatever unit, and with tiles left out, too."""

from __future__ import annotations

import math

import pytest
from small import BIASED, BOUNDED, TEXTS, problem

from einsim.accel.load import load_machine
from einsim.dataflow.mapper import fronts
from einsim.dataflow.mapper.best import default_space
from einsim.dataflow.mapper.fronts import Contexts
from einsim.dataflow.mapper.objective import mode_of
from einsim.dataflow.mapper.pools import Pools
from einsim.dataflow.mapper.search import Search
from einsim.dataflow.mapper.space import MapSpace
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse


def contexts(space: MapSpace, objective: str) -> Contexts:
    return Contexts(space, objective, math.inf, lambda: False, Pools())


@pytest.mark.parametrize("objective", ["latency", "energy"])
@pytest.mark.parametrize("seed", range(12))
def test_no_point_of_a_group_is_below_what_its_surrounding_costs_at_least(seed: int, objective: str) -> None:
    mode = mode_of(objective, False)
    for space in problem(seed, most=2e4, texts=(TEXTS, BIASED, BOUNDED)[seed % 3]).spaces():
        of = contexts(space, objective)
        for group in space.fusions():
            found = of.candidates(group, mode)
            assert found.rest == math.inf
            least = {
                (found.frames[at].insides[inside], tuple(found.frames[at].tiles[tile].tolist())): key[0]
                for key, (at, inside, tile) in zip(found.keys, found.where.tolist(), strict=True)
            }
            for point in space.group_points(group):
                row, legal = space.total(point)
                if legal:
                    shared = point.nests[0].tiles[: len(point.inside.shared)]
                    assert least[point.inside, shared] <= of.key(row, mode)[0] * (1 + 1e-12)


@pytest.mark.parametrize("objective", ["latency", "energy"])
@pytest.mark.parametrize(
    ("name", "accel"),
    [
        ("ffn", "tpu-v4i"),
        ("ffn", "fusemax-cloud"),
        ("attention-3pass", "fusemax-cloud"),
        pytest.param("attention-3pass", "tpu-v4i", marks=pytest.mark.slow),
    ],
)
def test_what_is_left_out_costs_no_less(
    name: str, accel: str, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of menus that are thinned; where nothing is left out the same is known exactly."""
    work, machine = load_workload(name, {"seq": 1024} if name != "ffn" else {"p": 256}), load_machine(accel)
    space, mode = default_space(work, machine, objective, "quick"), mode_of(objective, False)
    groups = [group for group in space.fusions() if len(group) > 1]
    whole = [contexts(space, objective).candidates(group, mode) for group in groups]
    monkeypatch.setattr(fronts, "MOST_SHARED", 2)
    monkeypatch.setattr(fronts, "LEAST_SHARED", 2)
    some = [contexts(space, objective).candidates(group, mode) for group in groups]
    assert any(one.rest < math.inf for one in some)
    for one, every in zip(some, whole, strict=True):
        assert every.rest == math.inf
        assert one.least <= every.least * (1 + 1e-12)
        assert one.least > 0


def test_a_group_costs_what_it_does_on_one_of_the_units() -> None:
    """An exponent takes six cycles in a column of 256 PEs, or on as many lanes: it is not free on both."""
    work = parse("Y[m,n] = exp(X[m,n] - G[n])", name="w", sizes={"m": 512, "n": 512})
    space = MapSpace(cascade=work, machine=load_machine("fusemax-cloud"), menu="steps")
    assert {node.unit for node in space.leaves(work.einsums[0])} == {"array2d", "array1d"}
    least = contexts(space, "latency").candidates(work.einsums, mode_of("latency", False)).least
    found = Search(space, "latency", report=lambda *_: None).run()
    assert found.proven
    assert least * space.scale.tick_s * space.machine.clock_hz >= 512 * 512 * 6 / 256
    assert 0.99 * found.found[0].ticks <= least <= found.found[0].ticks


def test_weights_of_several_products_pass_one_port() -> None:
    """Of a U280 weights may come as inputs, too, by a port of a quarter: no product has the better of both."""
    text = "\n".join(f"{name}[p,d] = A[p,s] * {name}W[s,d]" for name in "XYZ")
    work = parse(text, name="three", sizes={"p": 1, "s": 4096, "d": 4096})
    space = MapSpace(cascade=work, machine=load_machine("u280-flightllm"), menu="steps")
    least = contexts(space, "latency").candidates(work.einsums, mode_of("latency", False)).least
    port = space.machine.memory("weights").read_bytes_per_s
    assert port is not None
    assert least * space.scale.tick_s >= 3 * 4096 * 4096 * 2 / port * (1 - 1e-9)


def test_shares_that_are_left_hold_for_one_question() -> None:
    """Bounds are remembered: a share of one question is none of the next one's."""
    space = problem(6, most=2e4)
    of, mode, group = contexts(space, "energy"), mode_of("energy", False), next(iter(space.fusions()))
    before = of.candidates(group, mode).least
    half = [of.candidates(group, mode, left={group[0].name: 0.5}).least for _ in range(2)]
    assert half[0] == half[1] == pytest.approx(before / 2)
    assert of.candidates(group, mode).least == before
