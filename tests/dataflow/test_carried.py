"""A state that leaves its keep in every step and comes back in the next: where what makes it and what reads it find
it in different memories, it crosses through the one outside both. Bytes are derived by hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from einsim.accel.load import load_machine
from einsim.accel.machine import Machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.layout import lay_out
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.specs.errors import SpecError
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse
from tests.dataflow.read_text import parse_text
from tests.sim.replay import Replay


def narrow(text: str, sizes: dict[str, int]) -> Cascade:
    """A cascade of 8-bit values."""
    names = {tensor.name for tensor in parse(text, name="work", sizes=sizes).tensors}
    lines = [f"tensor {name} bits 8" for name in sorted(names)]
    return parse("\n".join([*lines, text]), name="work", sizes=sizes)


def by_hand(tree: str) -> Mapping:
    return parse_text(f"work on gemmini (by hand)\n{tree.strip()}")


def agreed(work: Cascade, chip: Machine, made: Mapping) -> bool:
    """Whether a mapping is legal, computes right and has the oracle's figures, and nothing is read too early."""
    found = judge(DrawnCase(name="", kind="", work=work, chip=chip, mapping=made))
    return found.legal and found.right and not found.found and not Replay(work, chip, made).faults


SCAN = "initial S = 0\nS[t+1,e] = S[t,e] + K[t,e]\nO[t,f] = S[t+1,e] * W[e,f]"
STEPS, E, F = 4, 3, 5
APART = """
for t/1
  sequence
    keep S K in acc x1
      S on adders lanes=e
    keep S W in spad x1
      keep O in acc x1
        O on mesh rows=e cols=f weight-stationary
"""


def test_each_step_of_a_state_leaves_for_dram_and_comes_back_into_both_memories() -> None:
    work, chip, made = narrow(SCAN, {"t": STEPS, "e": E, "f": F}), load_machine("gemmini"), by_hand(APART)
    check(made, work, chip)
    program = lower(made, work, chip)
    assert program.buffers == {"acc": E * 4 + E * 4, "spad": E + E * F}  # S in place of S
    for result in (analyse(program, chip), simulate(program, chip)):
        assert {m: moved for m, moved in result.traffic.items() if moved} == {
            # all steps out, all but the last back to the adders, all to the mesh
            "dram": {
                "S": (STEPS + STEPS - 1 + STEPS) * E,
                "K": STEPS * E,
                "W": STEPS * E * F,
                "O": STEPS * F,
            },
            "spad": {"S": 2 * STEPS * E, "W": 2 * STEPS * E * F},
            # 32 bits: the adders read a step and write the next; three come in, four go out
            "acc": {"S": 4 * E * (2 * STEPS + STEPS - 1 + STEPS), "K": 8 * STEPS * E, "O": 8 * STEPS * F},
        }, result.level
    assert agreed(work, chip, made)


def test_where_all_that_read_a_state_do_so_in_its_keep_the_last_step_stays() -> None:
    text = "initial S = 0\nS[t+1,e] = S[t,e] + K[t,e]\nO[t,e] = S[t+1,e] * G[e]"
    work, chip = narrow(text, {"t": STEPS, "e": E}), load_machine("gemmini")
    made = by_hand(
        "for t/1\n  keep S K O G in acc x2\n    pipeline\n      S on adders lanes=e\n      O on adders lanes=e"
    )
    assert agreed(work, chip, made)
    assert analyse(lower(made, work, chip), chip).traffic["dram"]["S"] == 2 * (STEPS - 1) * E


def test_a_keep_of_several_steps_brings_the_one_before_its_first() -> None:
    text = "initial S = 0\nS[t+1,e] = S[t,e] * D[e] + K[t,e]\nO[e] = S[T,e] * G[e]"
    work, chip = narrow(text, {"t": 5, "e": E}), load_machine("gemmini")
    made = by_hand(
        "sequence\n  for t/2\n    keep S K D in acc x1\n      for e/2\n        S on adders lanes=e\n"
        "  keep S G O in acc x1\n    O on adders lanes=e"
    )
    assert agreed(work, chip, made)
    # steps 2, 4 and 5 go out; 2 and 4 come back, 5 to be read
    assert analyse(lower(made, work, chip), chip).traffic["dram"]["S"] == 3 * E + 3 * E


RECURRENT = "initial S = 1\nS[t+1,n] = W[n,k] * S[t,k]\nY[n] = S[T,n] * G[n]"
BY_ROWS = """
sequence
  for t/1
    keep S in acc x1
      keep W in spad x1
        for n/2
          for k/2
            S on mesh rows=n
  keep S G Y in acc x1
    Y on adders
"""


def test_a_step_that_needs_all_of_the_one_before_waits_for_it_and_has_room_beside_it() -> None:
    """Each tile of rows reads all of the step before: that is there until the last of them is made."""
    work, chip, made = narrow(RECURRENT, {"t": 4, "n": 5, "k": 5}), load_machine("gemmini"), by_hand(BY_ROWS)
    assert agreed(work, chip, made)
    program = lower(made, work, chip)
    assert program.buffers["acc"] == 4 * max(2 * 5, 3 * 5)
    load = next(op for op in program.ops if op.name == "load S" and op.path and len(op.waits) > 0)
    stored = [wait for wait in load.waits if program.ops[wait.producer].name == "store S" and wait.lag == 1]
    assert [target.kind for target in stored[0].targets] == ["same", "last"]  # of all rows


def test_all_steps_of_a_chunk_are_handed_on_and_stay_outside() -> None:
    text = "initial B = 0\nB[c,i+1] = B[c,i] + L[c,i]\nZ[c,i,j] = B[c,i+1] * B[c,j+1]"
    work, chip = narrow(text, {"c": 3, "i": 4, "j": 4}), load_machine("gemmini")
    made = by_hand(
        "for c/1\n  sequence\n    for i/2\n      keep B L in acc x1\n        B on adders\n"
        "    keep B Z in acc x1\n      Z on adders lanes=j"
    )
    assert agreed(work, chip, made)
    assert analyse(lower(made, work, chip), chip).traffic["dram"]["B"] == 3 * (4 + 1 + 4)


@pytest.mark.parametrize(
    ("text", "tree", "rank"),
    [
        ("initial S = 0\nS[i+1,t+1] = max(S[i,t+1], S[i+1,t]) + X[i,t]",
         "keep X in acc x1\n  for i/1\n    for t/1\n      keep S in acc x1\n        S on adders", "i"),
        ("where t <= e\ninitial S = 0\nS[t+1,e] = S[t,e] + X[t,e]",
         "keep X in acc x1\n  for t/1\n    keep S in acc x1\n      S on adders", "t"),
    ],
)  # fmt: skip
def test_what_comes_back_in_part_is_not_modelled(text: str, tree: str, rank: str) -> None:
    work = narrow(text, {name: 3 for name in "ite" if f"{name}+1" in text or f",{name}]" in text})
    with pytest.raises(SpecError, match=f"not modelled: it stands inside the loop over {rank}, of which S"):
        check(by_hand(tree), work, load_machine("gemmini"))


#: Machines of which units leave results where no unit reads operands: a DAG of three memories, and a unified buffer
#: from which accumulators are filled, with a FIFO for weights.
APART_CHIPS = {
    "three memories": "  spad: {parent: dram}\n  acc: {parent: dram, value_bits: 32}\n  vbuf: {parent: [dram, spad]}",
    "unified buffer": "  spad: {parent: dram}\n  fifo: {parent: dram}\n  acc: {parent: spad, value_bits: 32}",
}
READS = {
    "three memories": ("{inputs: spad, outputs: acc}", "{inputs: acc, outputs: vbuf}"),
    "unified buffer": ("{inputs: spad, weights: fifo, outputs: acc}", "{inputs: acc, outputs: spad}"),
}
CASCADES = {
    "scan": (SCAN, {"t": 4, "e": 3, "f": 5}),
    "delta rule": (
        ("initial S = 0\nR[t,f] = S[t,e,f] * K[t,e]\nU[t,f] = B[t] * (V[t,f] - R[t,f])\n"
        "S[t+1,e,f] = S[t,e,f] + K[t,e] * U[t,f]\nO[t,f] = S[t+1,e,f] * Q[t,e]"), {"t": 3, "e": 4, "f": 3}),
    "retention in chunks": (
        ("initial S = 0\nwhere j <= i\nP[c,i,j] = Q[c,i,e] * K[c,j,e]\nI[c,i,f] = P[c,i,j] * V[c,j,f]\n"
        "C[c,i,f] = Q[c,i,e] * S[c,e,f]\nD[c,e,f] = K[c,j,e] * V[c,j,f]\n"
        "S[c+1,e,f] = S[c,e,f] * G[c] + D[c,e,f]\nO[c,i,f] = I[c,i,f] + C[c,i,f]"),
        {"c": 3, "i": 2, "j": 2, "e": 3, "f": 2}),
    "selective scan": (
        ("initial H = 0\nA[t,d,n] = exp(D[t,d] * L[d,n])\nX[t,d] = D[t,d] * U[t,d]\n"
        "H[t+1,d,n] = H[t,d,n] * A[t,d,n] + X[t,d] * B[t,n]\nY[t,d] = H[t+1,d,n] * C[t,n]"), {"t": 3, "d": 3, "n": 2}),
    "attention in one pass": (
        ("m -> m1, m0\ninitial RM = -inf\ninitial RD = 0\ninitial RV = 0\n"
        "QK[m1,m0,p] = Q[e,p] * K[e,m1*M0+m0]\nLM[m1,p] = max[m0](QK[m1,m0,p])\n"
        "RM[m1+1,p] = max(RM[m1,p], LM[m1,p])\nLN[m1,m0,p] = exp(QK[m1,m0,p] - RM[m1+1,p])\n"
        "LD[m1,p] = sum[m0](LN[m1,m0,p])\nLV[f,m1,p] = LN[m1,m0,p] * V[f,m1*M0+m0]\n"
        "PM[m1,p] = exp(RM[m1,p] - RM[m1+1,p])\nSD[m1,p] = RD[m1,p] * PM[m1,p]\nRD[m1+1,p] = LD[m1,p] + SD[m1,p]\n"
        "SV[f,m1,p] = RV[f,m1,p] * PM[m1,p]\nRV[f,m1+1,p] = LV[f,m1,p] + SV[f,m1,p]\n"
        "AV[f,p] = RV[f,M1,p] / RD[M1,p]"), {"m": 6, "m0": 2, "p": 2, "e": 2, "f": 2}),
}  # fmt: skip


def machine_of(name: str, folder: Path) -> Machine:
    mesh, vector = READS[name]
    ops = ", ".join(f"{op}: {{}}" for op in ("add", "mul", "max", "exp", "div", "select", "cmp"))
    (folder / "chip.yaml").write_text(
        f"machine: chip\nclock: 1GHz\nmemories:\n  dram: {{bandwidth: 16GB/s}}\n{APART_CHIPS[name]}\nunits:\n"
        f"  mesh: {{kind: systolic, dims: {{rows: 4, cols: 4}}, reads_from: {mesh}, ops: {{mac: {{}}}}}}\n"
        f"  vec: {{kind: vector, dims: {{lanes: 4}}, reads_from: {vector}, ops: {{mac: {{}}, {ops}}}}}\n"
    )
    return load_machine(str(folder / "chip.yaml"))


@pytest.mark.parametrize("cascade", CASCADES)
@pytest.mark.parametrize("name", APART_CHIPS)
def test_a_recurrence_has_a_default_where_results_are_left_apart_from_operands(
    name: str, cascade: str, tmp_path: Path
) -> None:
    work, chip = narrow(*CASCADES[cascade]), machine_of(name, tmp_path)
    made = build_mapping(work, chip)
    inside = any(home.tensor in work.initial and home.depth for home, _ in lay_out(made, work).homes)
    assert inside or name == "unified buffer"  # which is outside the accumulators
    assert agreed(work, chip, made)
