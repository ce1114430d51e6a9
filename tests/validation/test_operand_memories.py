"""Chips with a memory for each operand, small: bytes by memory and tensor derived by hand, at both levels and by the
oracle. Bytes of `in` are read from a memory, those of `out` written to it.

Every operand is as wide as its tensor, 8 bits, or 16 on the Eyeriss-like machine; in accumulators all have
`value_bits`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workloads.notation import parse
from tests.dataflow.read_text import parse_text


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's memories and unit, a cascade, a mapping, and the bytes that are moved by memory and tensor."""

    memories: str
    unit: str
    work: str
    sizes: dict[str, int]
    mapping: str
    bytes_moved: dict[str, dict[str, int]]
    held: dict[str, int]
    busy_cycles: int


BYTE = "tensor {} bits 8\n"
PRODUCT = "".join(map(BYTE.format, "ABZ")) + "Z[m,n] = A[m,k] * B[k,n]"
WINDOW = "".join(map(BYTE.format, "IWO")) + "O[m,p,q] = I[c,p+r,q+s] * W[m,c,r,s]"

GEMMINI = Form(
    memories="spad: {parent: dram, capacity: 256KiB, access: 16B}\n  acc: {parent: dram, capacity: 64KiB, access: 64B, value_bits: 32}",
    unit="kind: systolic, dims: {rows: 16, cols: 16}, reads_from: {inputs: spad, outputs: acc}, accumulator_bits: 32",
    work=PRODUCT,
    sizes={"m": 32, "n": 32, "k": 32},
    # 4 tiles of 32 x 16 x 16: 32 steps, in each 16 values of A; 256 weights a tile, once; 32 x 16 results a tile
    mapping="""
keep A B in spad x1
  keep Z in acc x1
    for n/16
      for k/16
        Z on mesh rows=k cols=n weight-stationary
""",
    bytes_moved={
        "dram": {"A": 1024, "B": 1024, "Z": 1024},
        "spad": {"A": 1024 + 4 * 32 * 16, "B": 1024 + 4 * 256},
        # each of the two tiles along k leaves 4 bytes for a sum, one takes it up; all are read on the way out
        "acc": {"Z": 2 * 512 * 4 * (2 + 1) + 1024 * 4},
    },
    held={"spad": 2 * 1024, "acc": 1024 * 4},
    busy_cycles=4 * 32,
)

TPUV1 = Form(
    memories="ub: {parent: dram, capacity: 64KiB}\n  fifo: {parent: dram, capacity: 128B}\n"
    "  acc: {parent: ub, capacity: 4KiB, value_bits: 32}",
    unit="kind: systolic, dims: {rows: 8, cols: 8}, reads_from: {inputs: ub, weights: fifo, outputs: acc},"
    " dataflows: [weight-stationary], accumulator_bits: 32",
    work=PRODUCT,
    sizes={"m": 32, "n": 32, "k": 32},
    # 16 tiles of 32 x 8 x 8: 64 weights each through the FIFO, 32 steps of 8 values of A, 256 results
    mapping="""
keep A Z in ub x1
  for n/8
    keep Z in acc x1
      for k/8
        keep B in fifo x2
          Z on mesh rows=k cols=n weight-stationary
""",
    bytes_moved={
        "dram": {"A": 1024, "B": 1024, "Z": 1024},
        "fifo": {"B": 1024 + 16 * 64},
        "ub": {
            "A": 1024 + 16 * 32 * 8,
            "Z": 1024 + 1024,
        },  # results come from the accumulators and go on to DRAM
        "acc": {"Z": 4 * 256 * 4 * (4 + 3) + 4 * 256 * 4},
    },
    held={"ub": 2 * 1024, "fifo": 2 * 64, "acc": 256 * 4},
    busy_cycles=16 * 32,
)

NVDLA = Form(
    memories="cbuf: {parent: dram, capacity: 1KiB}\n  cacc: {parent: dram, capacity: 512B, value_bits: 32}",
    unit="kind: array, dims: {rows: 8, cols: 4}, reads_from: {inputs: cbuf, outputs: cacc}, accumulator_bits: 32",
    work=WINDOW,
    sizes={"m": 4, "c": 8, "p": 4, "q": 4, "r": 3, "s": 3},
    # one tile for each of the 9 points of the filter: 16 steps of 8 values of I, 8 x 4 weights, 64 results
    mapping="""
keep I W in cbuf x1
  keep O in cacc x1
    for r/1
      for s/1
        O on mesh rows=c cols=m weight-stationary
""",
    bytes_moved={
        "dram": {"I": 8 * 36, "W": 4 * 8 * 9, "O": 64},
        "cbuf": {"I": 8 * 36 + 9 * 16 * 8, "W": 288 + 9 * 32},
        "cacc": {"O": 64 * 4 * (9 + 8) + 64 * 4},
    },
    held={"cbuf": 288 + 288, "cacc": 64 * 4},
    busy_cycles=9 * 16,
)

# A core is a column of PEs: filter rows lie along its PEs, output rows along the columns (row-stationary), and each
# column has its own spads: 3 x 12, 3 x 224 and 3 x 24 words of 16 bits.
EYERISS = Form(
    memories="gb: {parent: dram, capacity: 108KiB}\n  ispad: {parent: gb, capacity: 72B, copies: 4}\n"
    "  wspad: {parent: gb, capacity: 1344B, copies: 4}\n  pspad: {parent: gb, capacity: 144B, copies: 4}",
    unit="kind: array, dims: {cores: 4, rows: 3}, reads_from: {inputs: ispad, weights: wspad, outputs: pspad}",
    work="O[m,p,q] = I[p+r,q+s] * W[m,r,s]",
    sizes={"m": 2, "p": 4, "q": 4, "r": 3, "s": 3},
    # 24 steps a column (m, q, s in time): a filter value stays for the 4 places of q, 3 values of I a step, one result
    mapping="""
keep I W O in gb x1
  keep I in ispad x1
    keep W in wspad x1
      keep O in pspad x1
        O on mesh cores=p rows=r weight-stationary
""",
    bytes_moved={
        "dram": {"I": 2 * 36, "W": 2 * 18, "O": 2 * 32},
        "gb": {"I": 2 * 2 * 36, "W": 2 * 2 * 18, "O": 2 * 2 * 32},  # one read serves all columns
        "ispad": {"I": 2 * 4 * (3 * 6) + 2 * 4 * 24 * 3},  # 3 rows of 6 in each column
        "wspad": {"W": 2 * 4 * 18 + 2 * 4 * 18},
        "pspad": {"O": 2 * 4 * (24 + 16) + 2 * 32},  # 8 results a column, each after 3 steps
    },
    held={"gb": 2 * (36 + 18 + 32), "ispad": 2 * 4 * 18, "wspad": 2 * 4 * 18, "pspad": 2 * 4 * 8},
    busy_cycles=24,
)

# Four PEs with a buffer for each operand; weights come past the global buffer.
SIMBA = Form(
    memories="gb: {parent: dram, capacity: 64KiB}\n  ibuf: {parent: gb, capacity: 64B, copies: 4}\n"
    "  wbuf: {parent: [gb, dram], capacity: 64B, copies: 4}\n  abuf: {parent: gb, capacity: 64B, copies: 4, value_bits: 24}",
    unit="kind: array, dims: {cores: 4, rows: 2, cols: 2},"
    " reads_from: {inputs: ibuf, weights: wbuf, outputs: abuf}, accumulator_bits: 24",
    work=PRODUCT,
    sizes={"m": 4, "n": 8, "k": 4},
    # a PE has 2 of the 8 columns: 4 rows x 2 folds of k are 8 steps, of 2 values of A and 2 sums of 4 (m) x 2 each
    mapping="""
keep A Z in gb x1
  keep A in ibuf x1
    keep B in wbuf x1
      keep Z in abuf x1
        Z on mesh cores=n rows=k cols=n weight-stationary
""",
    bytes_moved={
        "dram": {"A": 16, "B": 32, "Z": 32},
        "gb": {"A": 16 + 16, "Z": 32 + 32},
        "ibuf": {"A": 4 * 16 + 4 * 8 * 2},  # every PE needs all of A
        "wbuf": {"B": 32 + 32},
        "abuf": {"Z": 32 * 3 * (2 + 1) + 32 * 3},  # sums of 3 bytes after both folds, taken up in the second
    },
    held={"gb": 16 + 32, "ibuf": 4 * 16, "wbuf": 32, "abuf": 4 * 8 * 3},
    busy_cycles=8,
)

FORMS = {"gemmini": GEMMINI, "tpuv1": TPUV1, "nvdla": NVDLA, "eyeriss": EYERISS, "simba": SIMBA}


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> DrawnCase:
    form = FORMS[request.param]
    text = (
        f"machine: form\nclock: 1GHz\nmemories:\n  dram: {{bandwidth: 16GB/s}}\n  {form.memories}\n"
        f"units:\n  mesh: {{{form.unit}, ops: {{mac: {{}}}}, registers: {{bytes_per_pe: 16B}}}}\n"
    )
    (tmp_path / "form.yaml").write_text(text, encoding="utf-8")
    return DrawnCase(
        name=request.param, kind="", work=parse(form.work, name="work", sizes=form.sizes),
        chip=load_machine(str(tmp_path / "form.yaml")),
        mapping=parse_text(f"work on form (by hand)\n{form.mapping.strip()}"),
    )  # fmt: skip


@pytest.mark.parametrize("case", FORMS, indirect=True)
def test_bytes_by_memory_are_those_derived_by_hand(case: DrawnCase) -> None:
    form = FORMS[case.name]
    check(case.mapping, case.work, case.chip)
    program = lower(case.mapping, case.work, case.chip)
    assert program.buffers == form.held
    for result in (analyse(program, case.chip), simulate(program, case.chip)):
        assert {m: moved for m, moved in result.traffic.items() if moved} == form.bytes_moved, result.level
        assert result.breakdown_by_unit["mesh"]["busy"] == form.busy_cycles


@pytest.mark.parametrize("case", FORMS, indirect=True)
def test_the_oracle_computes_the_values_and_the_same_bytes(case: DrawnCase) -> None:
    found = judge(case)
    assert found.legal
    assert found.right
    assert not found.found


@pytest.mark.parametrize("case", FORMS, indirect=True)
def test_the_default_mapping_keeps_each_operand_where_it_is_looked_for(case: DrawnCase) -> None:
    made = build_mapping(case.work, case.chip)
    found = judge(msgspec.structs.replace(case, mapping=made))
    assert found.legal
    assert not found.found


def test_gemmini_multiplies_at_its_arrays_pace_from_its_scratchpad() -> None:
    # 256 x 256 x 256 by 16 x 16 macs are 65,536 cycles; A, B and Z cross DRAM once in 64 KiB each, as int8
    chip = load_machine("gemmini")
    work = parse(PRODUCT, name="product", sizes=dict.fromkeys("mnk", 256))
    mapping = build_mapping(work, chip)
    check(mapping, work, chip)
    program = lower(mapping, work, chip)
    assert program.buffers["spad"] <= 256 * 1024
    assert program.buffers["acc"] <= 64 * 1024
    low, run = analyse(program, chip), simulate(program, chip)
    assert low.breakdown_by_unit["mesh"]["busy"] == 65536
    assert low.traffic["dram"]["Z"] == 65536
    assert {*low.traffic["spad"]} == {"A", "B"}
    assert {*low.traffic["acc"]} == {"Z"}
    assert low.cycles <= run.cycles <= 1.2 * 65536


@pytest.mark.parametrize("flow", ["rows=k cols=n weight-stationary", "rows=m cols=n"])
def test_gemmini_keeps_sums_of_32_bits(flow: str) -> None:
    # 128 x 128 sums of 4 bytes are all of its accumulators, finished or not; 8 columns more do not fit
    chip = load_machine("gemmini")
    text = (
        "product on gemmini (by hand)\nfor n/{n}\n  keep Z in acc x1\n    keep A B in spad x1\n      Z on mesh "
        + flow
    )
    work = parse(PRODUCT, name="product", sizes={"m": 128, "n": 136, "k": 256})
    check(parse_text(text.format(n=128)), work, chip)
    with pytest.raises(EinsimError, match="69632 bytes are needed in acc, which has 65536"):
        check(parse_text(text.format(n=136)), work, chip)
