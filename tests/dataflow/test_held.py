"""Room in a memory for all that is read of a tensor, at whatever indices, held against counting by hand."""

from __future__ import annotations

import msgspec
import pytest

from einsim.dataflow.held import held_bytes
from einsim.dataflow.layout import lay_out
from einsim.dataflow.mapping import Compute, Mapping, chain, keep
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workloads.notation import parse
from tests.validation.oracle.small import machine


@pytest.mark.parametrize(
    ("text", "loop", "rows"),
    [
        ("Y[t,c] = X[t,c] - X[t+5,c]", ("t", 2), 4),  # rows t, t+1 and t+5, t+6
        ("Y[t,c] = X[t,c] - X[t+1,c]", ("t", 4), 5),  # four rows and the next one
        ("Y[t,u] = X[t,c] * X[u,c]", ("t", 2), 8),  # u goes over all 8 rows, among which are t, t+1
        ("Y[t,c] = X[t,c] - X[7-t,c]", ("t", 2), 4),  # two rows from either end
    ],
)
def test_all_that_is_read_at_once_has_room(text: str, loop: tuple[str, int], rows: int) -> None:
    work = parse(text, name="two", sizes={"t": 8, "c": 4, "u": 8})
    tree = chain(loop, keep(("X",), "gb", buffers=1), Compute(einsum="Y", unit="lanes"))
    mapping = Mapping(cascade="two", machine="small", template="", tree=tree)
    assert held_bytes(mapping, lay_out(mapping, work), work, machine()) == {"gb": rows * 4 * 2}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # 7 places of t go round 4 cores: one has t = 0 and 4, with rows 0, 1, 4 and 5 by both shifts
        ("Y[t,c] = X[t,c] - X[t+1,c]", 4),
        # and with a window of three it has rows 0 to 2 and 4 to 6
        ("Y[t,c] = X[t+r,c] * W[r]", 6),
        # places by themselves are two rows
        ("Y[t,c] = X[t,c] * W[c]", 2),
    ],
)
def test_places_that_go_round_the_cores_share_no_rows(text: str, rows: int) -> None:
    work = parse(text, name="w", sizes={"t": 7, "c": 3, "r": 3} if "r" in text else {"t": 7, "c": 3})
    leaf = Compute(einsum="Y", unit="lanes", spatial={"cores": ("t",), "lanes": ("c",)})
    names = "X Y" if "W" not in text else "X W Y"
    chip = machine(cores=4, copies=4)
    made = Mapping(
        cascade="w", machine="small", template="test", tree=chain(keep(names, "near", buffers=1), leaf)
    )
    held = held_bytes(made, lay_out(made, work), work, chip)["near"]
    others = 4 * 2 * 3 * 2 + (
        0 if "W" not in text else 4 * 3 * 2
    )  # Y: two rows in each core; W: three values
    assert held == 4 * rows * 3 * 2 + others


@pytest.mark.parametrize(
    ("sizes", "values"),
    [
        # 4 x 4 x 4 places go round 4 cores by x alone: each has a column of all groups, with three of X's six
        ({"g": 4, "y": 4, "x": 4}, 4 * 6 * 3),
        # by y and x, since 3 places of x are no whole round: anything of a group that goes round, too
        ({"g": 2, "y": 4, "x": 3}, 2 * 6 * 5),
    ],
)
def test_windows_at_places_that_go_round_have_room_on_each_core(sizes: dict[str, int], values: int) -> None:
    text = "Y[g,y,x] = X[g,y+r,x+q] * W[g,r,q]"
    work = parse(text, name="w", sizes={**sizes, "r": 3, "q": 3})
    leaf = Compute(einsum="Y", unit="lanes", spatial={"cores": ("g", "y", "x"), "lanes": ("r",)})
    chip = machine(cores=4, copies=4)
    tree = chain(keep(("X",), "near", buffers=1), keep(("Y", "W"), "near", buffers=1), leaf)
    made = Mapping(cascade="w", machine="small", template="test", tree=tree)
    outputs = work.points("Y") // 9
    others = 2 * (4 * -(-outputs // 4) + 4 * sizes["g"] * 9)  # a core's own results, W in each
    assert held_bytes(made, lay_out(made, work), work, chip)["near"] - others == 2 * 4 * values
    case = DrawnCase(name="", kind="", work=work, chip=chip, mapping=made)
    assert not [one for one in judge(case).found if one.kind == "held"]


def test_each_core_has_room_for_its_part_as_wide_as_it_adds_up() -> None:
    # 3 cores have a part of each of 4 sums in 32 bits, which meet in as many of those; results have 16
    work = parse("Z[m] = A[m,k] * B[k]", name="parts", sizes={"m": 4, "k": 7})
    leaf = Compute(einsum="Z", unit="lanes", spatial={"cores": ("k",), "lanes": ("m",)})
    chip = machine(cores=3, copies=3, accumulator_bits=32)
    tree = chain(keep("Z", "gb", buffers=1), keep("Z A B", "near", buffers=1), leaf)
    made = Mapping(cascade="parts", machine="small", template="test", tree=tree)
    held = held_bytes(made, lay_out(made, work), work, chip)
    assert held == {"gb": 4 * 4, "near": 3 * (4 * 4 + 3 * (4 + 1) * 2)}  # one has 3 of the 7 points
    once = msgspec.structs.replace(made, tree=chain(keep("Z A B", "lanes", buffers=1), leaf))
    assert held_bytes(once, lay_out(once, work), work, chip)["lanes"] == 3 * 4 * 4 + 7 * (4 + 1) * 2
