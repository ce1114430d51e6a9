"""The nine pairs of workload and machine family, and the laws that their numbers obey."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.result import Result
from einsim.dataflow.templates import build_mapping
from einsim.dataflow.templates.layerwise import resident
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.workloads.load import load_workload

WORKLOADS = {
    "attention": {"seq": "1K", "b": "2"},
    "ffn": {"seq": "1K", "b": "2"},
    "linear-training": {"sparsity": "2:8"},
}
MACHINES = {"fusemax-cloud": "buffer", "tpu-v4i": "buffer", "u280-flightllm": "", "sa8295p": "scratchpad"}
SIZES = (2, 4, 6, 8, 16, 32, 64)
RATES = (0.5, 1.0, 1.1, 1.5, 4.0)


@cache
def both(workload: str, accel: str, bandwidth: int | None = None, **more: str) -> tuple[Result, Result]:
    machine = load_machine(accel, {"dram.bandwidth": str(bandwidth)} if bandwidth else {})
    cascade = load_workload(workload, {**WORKLOADS[workload], **more})
    program = lower(build_mapping(cascade, machine), cascade, machine)
    return analyse(program, machine), simulate(program, machine)


@pytest.mark.parametrize("accel", MACHINES)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_pair_runs_within_its_bounds(workload: str, accel: str) -> None:
    machine = load_machine(accel)
    bound, run = both(workload, accel)
    assert bound.cycles <= run.cycles
    assert bound.traffic == run.traffic
    for result in (bound, run):
        rate = machine.dram.read_bytes_per_s
        assert rate is not None
        assert result.latency_s >= result.dram_bytes / rate * (1 - 1e-12)
        assert all(0 <= share <= 1 for share in result.utilization.values())
        for name, share in result.by_einsum.items():
            unit = machine.unit(share.unit)
            least = share.points / unit.pes / (unit.clock_hz or machine.clock_hz)
            assert result.latency_s >= least * (1 - 1e-12), name
        assert result.energy_j == pytest.approx(sum(result.energy_by.values()))


@pytest.mark.parametrize("accel", [accel for accel, buffer in MACHINES.items() if buffer])
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_bigger_buffer_costs_no_more_of_what_the_default_is_chosen_by(workload: str, accel: str) -> None:
    """Time, for which bytes may grow, or energy."""
    cycles, energy_j = [], []
    for size in SIZES:
        machine = load_machine(accel, {MACHINES[accel]: f"{size}MiB"})
        cascade = load_workload(workload, WORKLOADS[workload])
        least = (resident(cascade, machine, objective) for objective in ("latency", "energy"))
        quick, frugal = (analyse(lower(one, cascade, machine), machine) for one in least)
        cycles.append(quick.cycles)
        energy_j.append(frugal.energy_j)
    assert cycles == sorted(cycles, reverse=True)
    assert all(more <= less * (1 + 1e-9) for less, more in pairwise(energy_j))


@pytest.mark.parametrize("accel", MACHINES)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_more_bandwidth_is_never_slower(workload: str, accel: str) -> None:
    rate = load_machine(accel).dram.read_bytes_per_s
    assert rate is not None
    found = [both(workload, accel, int(rate * times)) for times in RATES]
    for level in (0, 1):
        cycles = [pair[level].cycles for pair in found]
        assert cycles == sorted(cycles, reverse=True)


@pytest.mark.parametrize("pattern", ["2:4", "2:8", "1:4", "2:16"])
@pytest.mark.parametrize("accel", ["vcu1525-sat", "u280-flightllm"])
def test_n_m_training_lies_between_dense_and_its_bound_where_it_is_exploited(
    accel: str, pattern: str
) -> None:
    """FF and BP shrink to n / m, WU stays: at best 3 / (1 + 2 n / m), a little less tile waste allowed for."""
    n, m = (int(part) for part in pattern.split(":"))
    dense, sparse = (
        both("linear-training", accel, sparsity="dense"),
        both("linear-training", accel, sparsity=pattern),
    )
    for level in (0, 1):
        speedup = dense[level].cycles / sparse[level].cycles
        assert 1 <= speedup <= 3 / (1 + 2 * n / m) * 1.01 <= m / n
        assert sparse[level].dram_bytes < dense[level].dram_bytes


@pytest.mark.parametrize("accel", ["fusemax-cloud", "tpu-v4i", "sa8295p"])
def test_n_m_training_is_exactly_dense_where_it_is_not_exploited(accel: str) -> None:
    dense, sparse = both("linear-training", accel, sparsity="dense"), both("linear-training", accel)
    for level in (0, 1):
        assert sparse[level].cycles == dense[level].cycles
        assert sparse[level].dram_bytes == dense[level].dram_bytes
        assert sparse[level].energy_j == dense[level].energy_j


@pytest.mark.parametrize("accel", ["fusemax-cloud", "u280-flightllm", "sa8295p", "vcu1525-sat", "tpu-v4i"])
@pytest.mark.parametrize("mask", [{}, {"causal": "true"}, {"window": "200"}, {"documents": "300"}])
def test_one_pass_attention_runs_fused_with_every_mask(accel: str, mask: dict[str, str]) -> None:
    """A mask leaves out tiles: never slower than without one, and at least what the kept points take."""
    full = both("attention", accel, passes="1", b="1", h="2")
    masked = both("attention", accel, passes="1", b="1", h="2", **mask)
    assert masked[0].cycles <= masked[1].cycles
    assert masked[0].by_einsum["BQK"].points <= full[0].by_einsum["BQK"].points
    assert all(one.cycles <= other.cycles for one, other in zip(masked, full, strict=True))


@pytest.mark.parametrize("seq", ["512", "768", "1100"])
def test_a_mask_of_any_width_costs_no_more_than_none(seq: str) -> None:
    """Neither cycles nor bytes: as many queries stay on chip as without it."""
    sizes = {"passes": "1", "b": "1", "h": "2", "seq": seq}
    full = both("attention", "fusemax-cloud", **sizes)
    for window in (64, 200, 500):
        for more in ({"window": str(window)}, {"documents": str(window), "causal": "true"}):
            masked = both("attention", "fusemax-cloud", **sizes, **more)
            assert all(one.cycles <= other.cycles for one, other in zip(masked, full, strict=True))
            assert masked[0].dram_bytes <= full[0].dram_bytes


LAYERS = [("1", "prefill"), ("3", "decode"), ("3", "prefill"), ("1", "decode")]
"""Passes of attention and phase: each family runs the first two or the last two, and all of them among the slow."""


@pytest.mark.parametrize(
    ("accel", "passes", "phase"),
    [
        pytest.param(accel, *layer, marks=() if (at + number // 2) % 4 == 0 else pytest.mark.slow)
        for at, accel in enumerate(["fusemax-cloud", "flat-cloud", "u280-flightllm", "sa8295p", "tpu-v4i"])
        for number, layer in enumerate(LAYERS)
    ],
)
def test_decoder_layers_run_on_every_family(accel: str, passes: str, phase: str) -> None:
    machine = load_machine(accel)
    cascade = load_workload("llama2-7b", {"seq": "512", "passes": passes, "phase": phase})
    program = lower(build_mapping(cascade, machine), cascade, machine)
    assert analyse(program, machine).cycles <= simulate(program, machine).cycles


@pytest.mark.parametrize("accel", ["fusemax-cloud", "flat-cloud", "u280-flightllm", "sa8295p", "tpu-v4i"])
@pytest.mark.parametrize("mask", [{}, {"causal": "true"}, {"window": "200"}])
def test_heads_that_share_their_keys_load_them_together(accel: str, mask: dict[str, str]) -> None:
    """Four queries of a head take the keys that one query would take alone."""
    decode = {"p": "1", "seq": "1K", "b": "1", "passes": "1", **mask}
    grouped = both("attention", accel, h="8", kv_heads="2", **decode)
    alone = both("attention", accel, h="2", **decode)
    for level in (0, 1):
        for tensor in "KV":
            assert grouped[level].traffic["dram"][tensor] == alone[level].traffic["dram"][tensor]


@pytest.mark.parametrize("accel", ["fusemax-cloud", "u280-flightllm", "vhk158-flightllm"])
@pytest.mark.parametrize("mask", [{}, {"causal": "true"}])
def test_keys_are_loaded_once_while_all_their_queries_are_there(accel: str, mask: dict[str, str]) -> None:
    """4 heads with 1024 keys of 64 values each, which 4 times 1024 queries share."""
    found = both("attention", accel, passes="1", b="1", h="16", kv_heads="4", e="64", **mask)
    for level in (0, 1):
        assert found[level].traffic["dram"]["K"] == 4 * 1024 * 64 * 2


def test_a_row_that_misses_by_four_bytes_is_taken_in_parts() -> None:
    # two buffers of a row of 2^20 keys are 4 MiB, a core's memory, and two maxima are 4 bytes more
    cascade = load_workload("attention", {"b": "1", "h": "1", "e": "64", "seq": "1M", "passes": "3"})
    machine = load_machine("tpu-v4i")
    check(build_mapping(cascade, machine), cascade, machine)


@pytest.mark.parametrize("accel", ["vcu1525-sat", "fusemax-cloud", "tpu-v4i"])
def test_what_is_chosen_from_stays_whole_in_every_default(accel: str) -> None:
    work = load_workload("linear-training", {"n": "24", "i": "40", "o": "56", "sparsity": "2:8"})
    machine = load_machine(accel)
    check(build_mapping(work, machine), work, machine)


VECTOR, ROWS = "kind: vector, dims: {lanes: 4}", "kind: array, dims: {rows: 4}"


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        *((name, VECTOR) for name in ("flat", "fusemax-interleaved", "fusemax-stalled", "fusemax-on-flat")),
        *((name, ROWS) for name in ("flat", "fusemax-interleaved", "fusemax-stalled")),
    ],
)
def test_a_template_of_arrays_needs_one(template: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "chip.yaml").write_text(
        "machine: chip\nclock: 1GHz\nmemories: {dram: {}, gb: {parent: dram}}\n"
        f"units: {{v: {{{kind}, reads_from: gb, "
        "ops: {mac: {}, add: {}, max: {}, mul: {}, exp: {}, div: {}}}}\n"
    )
    sizes = {"passes": "3" if template == "flat" else "1", "b": 1, "h": 1, "m": 8, "p": 8, "e": 4, "f": 4}
    with pytest.raises(EinsimError, match="needs an array"):
        build_mapping(load_workload("attention", sizes), load_machine(tmp_path / "chip.yaml"), template)
