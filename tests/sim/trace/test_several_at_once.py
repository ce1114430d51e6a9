"""Ports with several transfers in flight, and a network to the cores: slices of a track still follow each other."""

from __future__ import annotations

import itertools

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.sim.trace.record import record
from einsim.workloads.load import load_workload


@pytest.mark.parametrize(
    ("name", "overrides", "engines"),
    [
        ("flat-cloud", {"dram.timing": "hbm2e", "dram.bandwidth": "400GB/s"}, {"array2d", "array1d", "dram"}),
        ("tpu-v4i", {"noc.bandwidth": "64GB/s"}, {"noc", "array2d"}),
    ],
)
@pytest.mark.parametrize("window", [(0, None), (500, 1500)])
def test_no_two_slices_of_an_engine_overlap(name, overrides, engines, window):
    chip = load_machine(name, overrides)
    values = {"passes": "3", "b": "1", "h": "4", "e": "16", "f": "16", "m": "128", "p": "128"}
    work = load_workload("attention", values)
    mapping = build_mapping(work, chip)
    program = lower(mapping, work, chip)
    seen = record(program, mapping, work, chip, from_cycle=window[0], to_cycle=window[1])
    by_engine = {}
    for span in seen.spans:
        by_engine.setdefault(span.engine, []).append(span)
    if window[1] is None:
        assert engines <= set(by_engine)
        assert seen.end == pytest.approx(simulate(program, chip).cycles * seen.ticks_per_cycle, rel=1e-3)
    for spans in by_engine.values():
        assert all(one.end <= two.start for one, two in itertools.pairwise(spans))
