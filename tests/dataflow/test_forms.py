"""A codec on the way to a memory: what is there takes fewer bytes, what is elsewhere and computed does not."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.codec import Codec
from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.forms import as_held, coded, compressed
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workload import find_workload
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse
from einsim.workloads.sparsity import Density, RunLength, run_bits
from tests.dataflow.read_text import parse_text

RUNS = Codec(format="run-length", run_bits=5, word_bytes=8)


class Values(msgspec.Struct):
    bits: int
    sparsity: object


@pytest.mark.parametrize(
    ("values", "zeros", "bits", "words"),
    [
        (48, 0.5, 16, 8),  # 24 values of 5 + 16 bits, three in 64
        (96, 0.75, 16, 9),  # 24, and one for runs of 32
        (4, 0.5, 16, 1),  # a word that is not full
        (48, 0.5, 8, 6),  # four of 5 + 8 bits
        (64, 1.0, 16, 1),  # each pair with a value of zero takes 32 zeros
        (0, 0.5, 16, 0),
    ],
)
def test_words_hold_whole_pairs_of_a_run_and_a_value(
    values: int, zeros: float, bits: int, words: int
) -> None:
    """Chen et al., Eyeriss, JSSC 2017: 5 bits of zeros before a value of 16, three pairs in a word of 64."""
    assert run_bits(Values(bits, RunLength(1 - zeros, 5, 64)), values) == 64 * words


def test_long_runs_take_pairs_of_their_own() -> None:
    """Runs of one bit: a pair ends with a value, or after two zeros. By hand of 1,000 values of which one in ten
    is none: 1 - 0.9 ** 2 = 0.19 of all pairs' ends, so that 1,000 * 0.1 / 0.19 pairs are needed.
    """
    assert RunLength(0.1, 1, 64).kept(1000) == 527
    assert RunLength(0.1, 16, 64).kept(1000) == 100


def machine(codec: Codec | None, *names: str) -> Machine:
    chip = load_machine("eyeriss-like")
    memories = (
        msgspec.structs.replace(one, codec=codec if one.name in names else None) for one in chip.memories
    )
    return msgspec.structs.replace(chip, memories=tuple(memories))


def test_a_tensor_that_no_code_makes_shorter_stays() -> None:
    """A quarter of zeros is what three values of 16 bits in 64 need."""
    chip = machine(RUNS, "dram")
    for share, there in ((0.2, False), (0.3, True)):
        work = parse(
            f"tensor A bits 16 sparse density {1 - share}\nZ[m,n] = A[m,k] * B[k,n]", name="z",
            sizes={"m": 8, "n": 8, "k": 8},
        )  # fmt: skip
        tensor = work.tensor("A")
        assert coded(chip, tensor) is there
        assert isinstance(as_held(chip, "dram", tensor).sparsity, RunLength) is there
        assert as_held(chip, "gb", tensor).sparsity.patterns == ()
    assert not compressed(machine(None, "dram"), msgspec.structs.replace(tensor, sparsity=Density(0.1)))


TEXT = "tensor {} sparse {}\nZ[m,n] = A[m,k] * B[k,n]"


def work(tensor: str, sparse: str) -> Cascade:
    return parse(TEXT.format(tensor, sparse), name="z", sizes={"m": 12, "n": 10, "k": 16})


MAPPING = """z on eyeriss-like (t)
for m/5
  for k/6
    keep A B Z in gb x1
      Z on mac rows=m cols=n"""


@pytest.mark.parametrize("memory", ["dram", "gb"])
@pytest.mark.parametrize(
    "codec", [RUNS, Codec(format="run-length", run_bits=1, word_bytes=2), Codec(format="pattern")]
)
@pytest.mark.parametrize(
    ("tensor", "sparse"), [("B", "density 0.3"), ("Z", "density 0.3"), ("B", "2:4 k"), ("A", "1:2 m")]
)
def test_bytes_and_energy_are_those_of_every_point(
    memory: str, codec: Codec, tensor: str, sparse: str
) -> None:
    """Partial sums, which come back here twice, are no zeros; finished results may be."""
    chip = machine(codec, memory)
    array = next(unit.name for unit in chip.units if unit.kind != "vector")
    case = DrawnCase(
        name="z", kind="z", work=work(tensor, sparse), chip=chip,
        mapping=parse_text(MAPPING.replace(" on mac ", f" on {array} ")),
    )  # fmt: skip
    verdict = judge(case)
    assert verdict.legal
    assert verdict.right
    assert verdict.found == ()


def test_what_a_path_decodes_is_whole_behind_it() -> None:
    """2:4 weights that no unit skips: half of their bytes and two bits each in DRAM, all of them on the chip."""
    dense, sparse = (machine(one, "dram") for one in (None, Codec(format="pattern")))
    found = []
    for chip in (dense, sparse):
        product = work("B", "2:4 k")
        program = lower(build_mapping(product, chip), product, chip)
        results = analyse(program, chip), simulate(program, chip)
        assert results[0].traffic == results[1].traffic
        found.append(results[0].traffic)
    bits = work("B", "2:4 k").tensor("B").bits
    assert found[1]["dram"]["B"] * 2 * bits == found[0]["dram"]["B"] * (bits + 2)
    assert {name: of for name, of in found[1].items() if name != "dram"} == {
        name: of for name, of in found[0].items() if name != "dram"
    }


@pytest.mark.parametrize(
    ("sizes", "zeros", "results", "measured"),
    # Chen et al., JSSC 2017, Tables V and VI: DRAM megabytes of layers that are for fitting, and zeros of the
    # inputs; of the results those of the next layer's.
    [
        ({"b": 4, "c": 256, "k": 384, "y": 13, "r": 3}, 0.725, 0.793, 3.0),
        ({"b": 3, "c": 256, "k": 256, "y": 56, "r": 3}, 0.581, 0.587, 32.2),
        ({"b": 3, "c": 256, "k": 256, "y": 56, "r": 3}, 0.587, 0.643, 30.8),
    ],
)  # fmt: skip
def test_eyeriss_moves_what_was_measured(
    sizes: dict[str, int], zeros: float, results: float, measured: float
) -> None:
    given = {**sizes, "x": sizes["y"], "q": sizes["r"], "zeros": zeros, "zero_results": results}
    cascade, chip = (
        find_workload("conv").every({k: str(v) for k, v in given.items()})[0],
        load_machine("eyeriss"),
    )
    found = analyse(lower(build_mapping(cascade, chip), cascade, chip), chip).traffic["dram"]
    assert sum(found.values()) / 1e6 == pytest.approx(measured, rel=0.08)
