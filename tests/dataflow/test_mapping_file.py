"""Mapping files: read back as written, strict, and every fault with file and line."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.dataflow.mapping_file import dump_mapping, load_mapping, read_mapping
from einsim.dataflow.templates import build_mapping
from einsim.specs.errors import SpecError
from einsim.specs.yaml_reader import read_yaml
from einsim.workloads.load import load_workload
from tests.dataflow.cases import cascade, machine, program_case


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_a_dumped_mapping_is_read_back(seed):
    case = program_case(seed)
    assume(case is not None)
    work, chip, mapping = case
    assert read_mapping(read_yaml(dump_mapping(mapping), "m.yaml"), work, chip) == mapping


@pytest.mark.parametrize(
    ("work", "accel", "template"),
    [("attention-1pass", "fusemax-cloud", "template"), ("attention-3pass", "flat-edge", "flat"),
     ("ffn", "sa8295p", "resident"), ("linear-training", "vcu1525-sat", "unfused")],
)  # fmt: skip
def test_templates_are_read_back(tmp_path, work, accel, template):
    workload, chip = load_workload(work, {}), load_machine(accel)
    mapping = build_mapping(workload, chip, template)
    file = tmp_path / "m.yaml"
    file.write_text(dump_mapping(mapping))
    assert load_mapping(file, workload, chip) == mapping


GOOD = """\
mapping:
  tree:
    - for: m
      tile: 2
    - keep: [A, B]
      in: gb
    - keep: Z
      in: gb
      buffers: 1
    - compute: Z
      on: mm
      spatial: {rows: m, cols: [n]}
"""


@pytest.fixture
def read():
    rng = random.Random(3)
    work, chip = cascade("gemm", rng), machine(rng, levels=1)

    def reader(text):
        return read_mapping(read_yaml(text, "m.yaml"), work, chip)

    return reader


def test_short_forms_are_lists_of_one(read):
    leaf = read(GOOD).computes()[0]
    assert leaf.spatial == {"rows": ("m",), "cols": ("n",)}
    assert read(GOOD.replace("tile: 2", "tile: '2'")) == read(GOOD)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mapping:", "maping:", "m.yaml:1 maping: unknown key; did you mean 'mapping'?"),
        ("  tree:", "  machine: other\n  tree:", "m.yaml:2 mapping.machine: this mapping is for another machine (got 'other'); the machine here is 'chip'"),
        ("tile: 2", "tiles: 2", "m.yaml:4 mapping.tree[0].tiles: unknown key; did you mean 'tile'?"),
        ("tile: 2", "tile: 0", "m.yaml:4 mapping.tree[0].tile: must be >= 1 (got 0)"),
        ("tile: 2", "tile: two", "m.yaml:4 mapping.tree[0].tile: must be a whole number such as 4096, 4K or 1M (got 'two')"),
        ("for: m", "for: mm", "m.yaml:3 mapping.for mm.for: unknown rank (got 'mm'); did you mean 'm'?"),
        ("for: m", "four: m", "m.yaml:3 mapping.tree[0]: must have one of for, keep, compute, pipeline, sequence; did you mean 'for'?"),
        ("      in: gb\n    - keep: Z", "      in: gbb\n    - keep: Z", "m.yaml:6 mapping.keep A B.in: unknown memory (got 'gbb'); did you mean 'gb'?"),
        ("buffers: 1", "buffers: 0", "m.yaml:9 mapping.keep Z.buffers: must be >= 1 (got 0)"),
        ("buffers: 1", f"buffers: {10**20}", f"m.yaml:9 mapping.keep Z.buffers: must be <= 2**40 (got {10**20})"),
        ("buffers: 1", "buffers: x", "m.yaml:9 mapping.tree[2].buffers: must be an integer (got 'x')"),
        ("buffers: 1", "spill: 1.5", "m.yaml:9 mapping.keep Z.spill: must be >= 0 and < 1 (got 1.5)"),
        ("compute: Z", "compute: Zz", "m.yaml:10 mapping.compute Zz.compute: unknown Einsum (got 'Zz'); did you mean 'Z'?"),
        ("on: mm", "on: m", "m.yaml:11 mapping.compute Z.on: unknown unit (got 'm'); did you mean 'mm'?"),
        ("rows: m", "row: m", "m.yaml:12 mapping.compute Z.spatial: unknown dimension (got 'row'); did you mean 'rows'?"),
        ("rows: m", "rows: n", "m.yaml:12 mapping.compute Z.spatial: this rank is placed twice (got 'n')"),
        ("    - compute: Z", "    - keep: A\n      in: gb\n    - compute: Z", "m.yaml:11 mapping.keep A.in: A is kept in gb further out already; leave this one out"),
        ("    - compute: Z\n      on: mm\n      spatial: {rows: m, cols: [n]}\n", "", "m.yaml:7 mapping.tree[2]: 'keep' must wrap something: a chain ends in compute, pipeline or sequence"),
        ("on: mm\n", "on: mm\n      for: n\n", "m.yaml:10 mapping.tree[3].compute: stands beside 'for': one item is one node; make it the next item of the list"),
        ("tree:", "tree:\n    - pipeline: []", "m.yaml:4 mapping.tree[1]: stands after 'pipeline', which ends a chain; put both into a pipeline or a sequence"),
        ("    - for: m\n      tile: 2\n", "    - 7\n", "m.yaml:3 mapping.tree[0]: must be an item with one of for, keep, compute, pipeline, sequence (got 7)"),
    ],
)  # fmt: skip
def test_faults_name_file_and_line(read, old, new, message):
    assert old in GOOD
    with pytest.raises(SpecError) as raised:
        read(GOOD.replace(old, new, 1))
    assert str(raised.value) == message


def test_a_chain_of_thousands_is_refused(read):
    text = "mapping:\n  tree:\n" + "    - {for: m, tile: 1}\n" * 3000 + "    - {compute: Z, on: mm}\n"
    with pytest.raises(SpecError, match=r"m.yaml:103 mapping.tree\[100\]: is nested deeper than 100 nodes"):
        read(text)
