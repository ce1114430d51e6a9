"""An evaluation says how its machine computed the cascade: by a LoopTree on units, or by a kernel."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import einsim
from einsim.evaluation import Mapped, Realised, evaluate
from einsim.specs.errors import SpecError


def test_a_machine_of_units_computes_by_a_mapping_of_the_cascade() -> None:
    found = evaluate("softmax", "tpu-v4i", settings={"p": "16", "d": "64"}, level="analytical")
    assert isinstance(found.how, Mapped)
    assert found.mapped is found.how
    assert found.mapped.mapping.cascade == found.cascade.name
    assert found.machine is found.mapped.machine


def test_a_gpu_computes_by_a_kernel_as_the_machine_was_set() -> None:
    found = evaluate("softmax", "h100-sxm", settings={"p": "16", "d": "64", "accel.sms": "66"})
    assert isinstance(found.how, Realised)
    assert [kernel.family for kernel in found.how.kernels] == ["softmax"]
    assert found.how.machine.sms == 66
    with pytest.raises(SpecError, match="a kernel has no mapping or trace"):
        _ = found.mapped


SMALL = {"p": 16, "d": 64}


def test_a_mapping_chooses_among_the_cascades_of_a_workload(tmp_path: Path) -> None:
    """`map attention -o FILE` may find that 1 pass is best: `run attention --mapping FILE` was refused then."""
    sizes = {"b": 1, "h": 1, "e": 8, "f": 8, "m": 8, "p": 8}
    names = {einsim.evaluate("attention", "flat-edge", settings=sizes).cascade.name}
    for passes in "123":
        cascade = einsim.load_workload("attention", {**sizes, "passes": passes})
        machine = einsim.load_machine("flat-edge")
        mapping = einsim.build_mapping(cascade, machine)
        file = tmp_path / f"{passes}.yaml"
        file.write_text(einsim.dump_mapping(mapping))
        for given in (mapping, file, str(file)):
            found = evaluate("attention", "flat-edge", settings=sizes, mapping=given, level="analytical")
            assert found.mapped.mapping == msgspec.structs.replace(
                mapping, template=found.mapped.mapping.template
            )
            names.add(found.cascade.name)
    assert names == {"attention-1pass", "attention-2pass", "attention-3pass"}


OBJECTIVES: dict[einsim.Objective, Callable[[einsim.Result], float]] = {
    "latency": lambda result: result.latency_s,
    "energy": lambda result: result.energy_j,
    "edp": lambda result: result.energy_j * result.latency_s,
}


def test_objects_and_names_give_the_same() -> None:
    by_name = evaluate("softmax", "tpu-v4i", settings={"p": "16", "d": "64", "accel.vector.lanes": "64"})
    cascade = einsim.load_workload("softmax", SMALL)
    machine = einsim.load_machine("tpu-v4i", {"vector.lanes": 64})
    assert evaluate(cascade, machine) == evaluate(cascade, machine, mapping=by_name.mapped.mapping)
    assert evaluate(cascade, machine).result.to_dict() == {
        **by_name.result.to_dict(), "mapping": evaluate(cascade, machine).result.mapping,
    }  # fmt: skip


def test_a_path_is_as_good_as_its_text(tmp_path: Path) -> None:
    (tmp_path / "line.yaml").write_text("ranks: {p: 64}\neinsums: 'Y[p] = X[p] + 1'\n")
    once = evaluate(tmp_path / "line.yaml", "tpu-v4i", settings={"p": 128})
    assert once == evaluate(str(tmp_path / "line.yaml"), "tpu-v4i", settings={"p": "128"})
    (tmp_path / "m.yaml").write_text(einsim.dump_mapping(once.mapped.mapping))
    assert (
        evaluate(tmp_path / "line.yaml", "tpu-v4i", settings={"p": 128}, mapping=tmp_path / "m.yaml") == once
    )


def test_auto_is_the_best_by_its_objective() -> None:
    found = {
        each: evaluate("ffn", "tpu-v4i", settings={"b": 1, "p": 64, "d": 128, "s": 256}, mapping="auto",
                       level="analytical", objective=each, workers=1).result
        for each in OBJECTIVES
    }  # fmt: skip
    for objective, figure in OBJECTIVES.items():
        assert figure(found[objective]) == min(figure(result) for result in found.values())


def test_the_same_mapping_with_any_number_of_workers() -> None:
    one, two = (
        evaluate("softmax", "tpu-v4i", settings=SMALL, mapping="auto", level="analytical", workers=workers)
        for workers in (1, 2)
    )
    assert one == two


def test_a_cap_on_what_is_held_is_kept() -> None:
    settings = {"b": 1, "p": 256, "d": 128, "s": 256}
    cap = 96 * 1024
    free, capped = (
        evaluate(
            "ffn", "tpu-v4i", settings=settings, mapping="auto", level="analytical", within_bytes=most
        ).result
        for most in (math.inf, cap)
    )
    assert sum(capped.buffers.values()) <= cap < sum(free.buffers.values())
    assert capped.latency_s >= free.latency_s


def test_area_or_resources_are_the_machines() -> None:
    flat = evaluate("softmax", "fusemax-cloud", settings=SMALL, level="analytical")
    assert isinstance(flat.machine, einsim.Machine)
    assert flat.result.area_mm2 == pytest.approx(sum(flat.machine.area_um2.values()) / 1e6)
    assert flat.result.resources == {}
    fpga = evaluate("ffn", "u280-flightllm", settings={"b": 1, "p": 16, "d": 64, "s": 64})
    assert fpga.result.area_mm2 is None
    assert fpga.result.resources["dsp"] > 0
    assert fpga.result.macs == fpga.cascade.macs == 2 * 16 * 64 * 64
    gpu = evaluate("softmax", "h100-sxm", settings=SMALL)
    assert (gpu.result.area_mm2, gpu.result.macs) == (None, 0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda c, m: evaluate(c, m, settings={"p": 3}),
            "p: neither the workload nor the machine has such a setting",
        ),
        (
            lambda c, m: evaluate(c, m, settings={"accel.dram": 3}),
            "accel.dram: is for a machine given by name or file",
        ),
        (lambda c, m: einsim.evaluate(c, m, level="rtl"), "evaluate(level): unknown value"),
        (lambda c, m: evaluate(c, m, objective="pareto", mapping="auto"), "best_mapping gives its front"),
        (lambda c, m: einsim.evaluate(c, m, objective="speed"), "evaluate(objective): unknown value"),
        (lambda c, m: evaluate(c, m, objective="energy"), "it goes with the mapping 'auto'"),
        (lambda c, m: evaluate(c, m, mapping=einsim.build_mapping(other(), m)), "mapping"),
        (lambda c, m: evaluate(c, "h100-sxm", mapping=einsim.build_mapping(c, m)), "a GPU runs kernels"),
    ],
)
def test_a_wrong_call_is_one_line(call: Callable[..., object], words: str) -> None:
    with pytest.raises(einsim.EinsimError, match=re.escape(words)) as found:
        call(einsim.load_workload("softmax", SMALL), einsim.load_machine("tpu-v4i"))
    assert "\n" not in str(found.value)


def other() -> einsim.Cascade:
    return einsim.load_workload("rmsnorm", SMALL)


@pytest.mark.parametrize("accel", ["tpu-v4i", "sa8295p"])
def test_auto_is_no_slower_than_the_default_as_simulated(accel: str) -> None:
    """The default is simulated beside what was searched: the analytical model alone may prefer the slower one."""
    settings = {"n": 64, "i": 128, "o": 256}
    auto, default = (
        evaluate("linear-training", accel, settings=settings, mapping=mapping).result.cycles
        for mapping in ("auto", "template")
    )
    assert auto <= default
