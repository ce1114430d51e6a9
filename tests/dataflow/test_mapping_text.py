"""The text form is read back as the mapping that wrote it; faults name their line."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Pipeline, Sequence
from einsim.dataflow.mapping_text import mapping_text
from einsim.dataflow.templates import build_mapping
from einsim.specs.errors import SpecError
from einsim.workloads.load import load_workload
from tests.dataflow.read_text import parse_text

NAMES = st.text("abXY_0-.", min_size=1, max_size=5)
LISTS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
COMPUTES = st.builds(
    Compute, einsum=NAMES, unit=NAMES, spatial=st.dictionaries(NAMES, LISTS, max_size=3),
    chained=st.lists(NAMES, max_size=2).map(tuple),
    stationarity=st.sampled_from(("output-stationary", "weight-stationary", "input-stationary")),
)  # fmt: skip
TREES = st.recursive(
    COMPUTES,
    lambda below: st.one_of(
        st.builds(Loop, rank=NAMES, tile=st.integers(1, 2**40), body=below),
        st.builds(
            Keep, tensors=LISTS, memory=NAMES, body=below, buffers=st.integers(1, 9), overlay=st.booleans(),
            spill=st.floats(0, 1, exclude_max=True),
        ),
        st.builds(Pipeline, children=st.lists(below, min_size=1, max_size=3).map(tuple)),
        st.builds(Sequence, children=st.lists(below, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)  # fmt: skip
MAPPINGS = st.builds(Mapping, cascade=NAMES, machine=NAMES, template=NAMES, tree=TREES)


@settings(max_examples=80, deadline=None)
@given(MAPPINGS)
def test_text_is_read_back(mapping):
    assert parse_text(mapping_text(mapping)) == mapping


@pytest.mark.parametrize(
    ("work", "accel", "template"),
    [("attention-1pass", "fusemax-cloud", "template"), ("attention-3pass", "flat-edge", "flat"),
     ("ffn", "sa8295p", "resident"), ("linear-training", "vcu1525-sat", "unfused")],
)  # fmt: skip
def test_templates_are_read_back(work, accel, template):
    mapping = build_mapping(load_workload(work, {}), load_machine(accel), template)
    assert parse_text(mapping_text(mapping)) == msgspec.structs.replace(mapping, notes=())


HEAD = "c on m (t)\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 mapping: must begin with 'CASCADE on MACHINE (TEMPLATE)'"),
        (HEAD, "line 1 mapping: must hold a node on the next line, two spaces further in"),
        (HEAD + "for m/8\n", "line 2 mapping: must hold a node on the next line, two spaces further in"),
        (HEAD + "for m/8\nQK on u\n", "line 2 mapping: must hold a node on the next line, two spaces further in"),
        (HEAD + "for m/8\n   QK on u\n", "line 3 mapping: must be indented by two spaces a level"),
        (HEAD + "QK on u\nAV on u\n", "line 3 mapping: stands beside the root, which is one node; indent it by two spaces a level"),
        (HEAD + "keep K in gb x2 spill=a\n  QK on u\n", "line 2 mapping: spill must be a number from 0 to 1 (got 'a')"),
        (HEAD + "QK on u weight-stationry\n", "line 2 mapping: must be DIMENSION=RANK*RANK, chained=T,T or a dataflow (got 'weight-stationry'); did you mean 'weight-stationary'?"),
        (HEAD + "QK on u rows=m rows=p\n", "line 2 mapping: this dimension stands twice (got 'rows')"),
        (HEAD + "QK\n", "line 2 mapping: must be 'for RANK/TILE', 'keep T in MEMORY xN', 'pipeline', 'sequence' or 'EINSUM on UNIT' (got 'QK')"),
    ],
)  # fmt: skip
def test_faults_name_their_line(text, message):
    with pytest.raises(SpecError) as raised:
        parse_text(text)
    assert str(raised.value) == message


def test_depth_is_limited():
    lines = [HEAD.strip(), *("  " * depth + "for m/1" for depth in range(5000)), "  " * 5000 + "QK on u"]
    with pytest.raises(SpecError, match="line 102 mapping: is nested deeper than 100 nodes"):
        parse_text("\n".join(lines))
