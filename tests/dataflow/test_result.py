"""Power, TOPS and area follow from a result's figures, and what isn't stated is None, never 0."""

from __future__ import annotations

import builtins
import json
import math

import msgspec
import pytest

from einsim.dataflow.result import EinsumCost, Result
from einsim.specs.errors import EinsimError

RESULT = Result(
    workload="small", accel="chip", level="sim", mapping="for m/256", cycles=100, latency_s=1e-6,
    dram_bytes=2000, utilization={"array": 0.6}, stalls={"bandwidth": 40}, stalls_by_unit={"array": {"bandwidth": 40}},
    energy_by={"dram": 4e-6}, traffic={"dram": {"Q": 1500, "K": 500}}, bottleneck="array", bound_by={"array": 60},
    by_einsum={"QK": EinsumCost(unit="array", cycles=60, energy_stated_j=3e-6, points=4096)},
    notes=("a note",), macs=4_000_000, area_um2={"gb": 2e6, "array.mac": 5e5}, resources={"dsp": 12},
)  # fmt: skip
BARE = msgspec.structs.replace(
    RESULT, energy_by={}, energy_not_stated=("dram read",), macs=None, area_um2={}, resources={}
)


def test_power_and_operations_follow_from_time_energy_and_macs():
    assert RESULT.power_w == pytest.approx(4.0)
    assert RESULT.tops == pytest.approx(8.0)  # 8 million operations in a microsecond
    assert RESULT.tops_per_w == pytest.approx(RESULT.tops / RESULT.power_w)
    assert RESULT.area_mm2 == pytest.approx(2.5)


def test_what_is_not_stated_is_none():
    assert (BARE.power_w, BARE.tops, BARE.tops_per_w, BARE.area_mm2) == (None, None, None, None)
    data = BARE.to_dict()
    assert all(data[name] is None for name in ("power_w", "tops", "tops_per_w", "area_mm2", "resources"))
    assert msgspec.structs.replace(BARE, energy_by={"dram": 1.0}).tops_per_w is None
    assert msgspec.structs.replace(RESULT, macs=0).tops == 0.0  # a softmax has none, which is known


def test_a_dictionary_is_plain_data_that_gives_the_result_back():
    data = RESULT.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert msgspec.convert(data, Result) == RESULT


def test_pandas_gets_a_row_of_figures():
    pandas = pytest.importorskip("pandas")
    frame = pandas.concat([RESULT.to_pandas(), BARE.to_pandas()], ignore_index=True)
    assert frame["latency_s"].tolist() == [1e-6, 1e-6]
    assert frame["traffic.dram.Q"].tolist() == [1500, 1500]
    assert frame["by_einsum.QK.cycles"][0] == 60
    assert frame["resources.dsp"][0] == 12
    assert math.isnan(frame["tops"][1])
    assert "notes" not in frame


def test_without_pandas_one_line_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EinsimError, match=r"^to_pandas needs pandas; pip install 'einsim\[pandas\]'$"):
        RESULT.to_pandas()
