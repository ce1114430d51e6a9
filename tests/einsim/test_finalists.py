"""The mapping that competes best as simulated: no worse than the default and any template; cascades of the same
function, of which those that a bound rules out are not searched.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import cache

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.effort import Effort
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import Answer, best_mapping
from einsim.dataflow.mapper.bound import least
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.result import Result
from einsim.dataflow.templates import build_mapping, template_names
from einsim.evaluation import evaluate
from einsim.finalists import Finals, compare
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.workloads import library
from einsim.workloads.cascade import Cascade

CLOUD = load_machine("fusemax-cloud")
FIGURES = {
    "latency": lambda result: result.latency_s,
    "energy": lambda result: result.energy_stated_j,
    "edp": lambda result: result.energy_stated_j * result.latency_s,
}

#: Where the analytical model alone prefers a mapping that a template beats in the simulator, and others.
CASES = (
    ("linear-training", {}, "sa8295p", "latency", "quick"),
    ("linear-training", {}, "fusemax-cloud", "energy", "quick"),
    ("linear-training", {}, "tpu-v4i", "edp", "quick"),
    ("depthwise-separable", {}, "sa8295p", "latency", "normal"),
    ("ffn", {"b": 1, "p": 48, "d": 64, "s": 96}, "tpu-v4i", "latency", "normal"),
    ("attention", {"b": 1, "h": 2, "e": 64, "seq": 128}, "fusemax-cloud", "latency", "quick"),
    ("attention-decode", {"b": 1, "h": 2, "e": 64, "m": 128}, "u280-flightllm", "latency", "quick"),
)
LONG_CASES = (
    ("linear-training", {}, "sa8295p", "latency", "normal"),
    ("linear-training", {}, "tpu-v4i", "latency", "quick"),
    ("linear-training", {}, "tpu-v4i", "latency", "normal"),
    ("linear-training", {}, "fusemax-cloud", "latency", "quick"),
    ("linear-training", {}, "fusemax-cloud", "latency", "normal"),
    ("linear-training", {}, "fusemax-cloud", "energy", "normal"),
    ("linear-training", {}, "tpu-v4i", "edp", "normal"),
    ("depthwise-separable", {}, "sa8295p", "latency", "quick"),
    ("ffn", {"b": 1, "p": 48, "d": 64, "s": 96}, "tpu-v4i", "latency", "quick"),
    ("ffn", {"b": 1, "p": 48, "d": 64, "s": 96}, "tpu-v4i", "energy", "quick"),
    ("ffn", {"b": 1, "p": 48, "d": 64, "s": 96}, "tpu-v4i", "energy", "normal"),
    *(
        ("attention", {"b": 1, "h": 4, "e": 64, "seq": 256}, "fusemax-cloud", "latency", effort)
        for effort in ("quick", "normal")
    ),
    *(
        ("attention-decode", {"b": 1, "h": 4, "e": 64, "m": 512}, "u280-flightllm", "latency", effort)
        for effort in ("quick", "normal")
    ),
)


def best(work: str, settings: dict[str, int], accel: str, objective: str, effort: Effort) -> float:
    found = evaluate(
        work,
        accel,
        settings=settings,
        mapping="auto",
        objective=objective,
        effort=effort,
        workers=1,  # type: ignore[arg-type]
    )
    return FIGURES[objective](found.result)


@cache
def by_template(work: str, settings: tuple[tuple[str, int], ...], accel: str) -> dict[str, Result]:
    """Results by the default mapping and by every template that takes the workload, with each number of passes."""
    found = {"default": evaluate(work, accel, settings=dict(settings)).result}
    for passes in (1, 2, 3) if work == "attention" else (None,):
        of = dict(settings) if passes is None else {**dict(settings), "passes": passes}
        for name in template_names():
            with suppress(EinsimError):
                found[f"{name} {passes}"] = evaluate(work, accel, settings=of, mapping=name).result
    return found


@pytest.mark.parametrize(
    ("work", "settings", "accel", "objective", "effort"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in LONG_CASES)],
)
def test_auto_is_no_worse_than_the_default_and_any_template_as_simulated(
    work: str, settings: dict[str, int], accel: str, objective: str, effort: Effort
) -> None:
    chosen = best(work, settings, accel, objective, effort)
    for name, found in by_template(work, tuple(settings.items()), accel).items():
        assert chosen <= FIGURES[objective](found), name


@cache
def searched(cascade: Cascade, beat: float) -> Answer:
    return best_mapping(cascade, load_machine("tpu-v4i"), "latency", effort="quick", workers=1)


@cache
def competing(tiles: float, *, whole: float = 0) -> Finals:
    work, machine = library.build("ffn", b=1, p=48, d=64, s=96), load_machine("tpu-v4i")
    return compare([work], machine, searched, "latency", tiles, whole=whole)


def test_the_best_as_simulated_is_not_the_best_by_the_model_alone() -> None:
    found, bound = competing(math.inf), competing(0)
    assert found.best.simulated is not None
    assert bound.best.simulated is None
    assert found.best.mapping != bound.best.mapping == found.answer.mapping
    machine = load_machine("tpu-v4i")
    for one in found.all:
        run = simulate(lower(one.mapping, one.cascade, machine), machine).latency_s
        assert one.result.latency_s <= one.key[0] <= run
        assert run >= found.best.simulated.latency_s
        assert one.simulated is None or one.simulated.latency_s == run
    assert any(one.simulated is None for one in found.all)  # its bound says enough


def test_a_run_that_is_cut_short_is_not_compared_and_its_bound_stands() -> None:
    short = competing(2)
    assert short.best.simulated is None
    assert short.best.cut
    assert [one.key[0] for one in short.all] == sorted(one.key[0] for one in short.all)
    whole = competing(2, whole=math.inf)
    assert whole.best.simulated is not None
    assert whole.best == competing(math.inf).best


def test_no_template_is_below_the_bound() -> None:
    for passes, name in ((1, "fusemax-interleaved"), (1, "fusemax-on-flat"), (3, "flat"), (3, "unfused")):
        work = library.build("attention", seq=1024, b=2, h=2, passes=passes)
        result = analyse(lower(build_mapping(work, CLOUD, name), work, CLOUD), CLOUD)
        assert least(MapSpace(cascade=work, machine=CLOUD), streamed=False).latency_s <= result.latency_s


@pytest.mark.slow
def test_one_pass_is_best_on_fusemax_and_three_are_ruled_out() -> None:
    cascades = [library.build("attention", seq=1024, b=1, h=2, passes=passes) for passes in (3, 1)]
    asked = []

    def search(cascade: Cascade, beat: float) -> Answer:
        asked.append(cascade.name)
        return best_mapping(cascade, CLOUD, "latency", templates=False, workers=1)

    found = compare(cascades, CLOUD, search, "latency", math.inf)
    assert [one.cascade.name for one in found.compared] == ["attention-1pass", "attention-3pass"]
    assert asked == ["attention-1pass"]
    assert found.compared[1].answer is None
    assert found.best.simulated is not None
    assert found.compared[1].bound_s >= found.best.simulated.latency_s


def test_a_cascade_without_a_mapping_comes_last_and_hides_no_other() -> None:
    cascades = [library.build("attention", seq=64, b=1, h=1, passes=passes) for passes in (1, 3)]

    def search(cascade: Cascade, beat: float) -> Answer:
        if cascade.name == "attention-1pass":
            raise EinsimError("no mapping fits")
        return best_mapping(cascade, CLOUD, "energy", nodes=5_000)

    found = compare(cascades, CLOUD, search, "energy", math.inf)
    assert [(one.cascade.name, one.why) for one in found.compared] == [
        ("attention-3pass", ""), ("attention-1pass", "no mapping fits"),
    ]  # fmt: skip
    with pytest.raises(EinsimError, match="no mapping fits"):
        compare(cascades[:1], CLOUD, search, "energy", math.inf)
