"""Illegal mappings are refused by one line; templates and their harmless variations are not."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine, preset_names
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Pipeline, Sequence, children, walk
from einsim.dataflow.spatial import able
from einsim.dataflow.templates import build_mapping, template_names
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError, SpecError
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from tests.dataflow.cases import machine, program_case
from tests.dataflow.read_text import parse_text
from tests.presets import DISTINCT

WORKLOADS = {
    "attention-1pass": {"seq": "1K"}, "attention-3pass": {"seq": "1K"}, "attention-2pass": {"seq": "1K"},
    "attention-decode": {"seq": "1K"}, "ffn": {}, "linear-training": {}, "gated-short-convolution": {},
    "depthwise-separable": {}, "layernorm": {},
}  # fmt: skip


@pytest.mark.parametrize("accel", DISTINCT)
def test_every_template_mapping_that_is_accepted_is_legal(accel):
    """Each preset with three of the workloads, so that all are taken."""
    hold_legal(accel, list(WORKLOADS)[preset_names().index(accel) % 3 :: 3])


@pytest.mark.slow
@pytest.mark.parametrize("accel", preset_names())
def test_every_template_mapping_of_any_that_is_accepted_is_legal(accel):
    assert hold_legal(accel, list(WORKLOADS)) > 0


def hold_legal(accel, names):
    """Hold what templates make of these workloads legal; how many the machine has the ops for."""
    chip = load_machine(accel)
    endless = msgspec.structs.replace(chip.dram, capacity_bytes=None)  # a DPU's board has 2 GiB
    chip = msgspec.structs.replace(chip, memories=(endless, *chip.memories[1:]))
    accepted = possible = 0
    for name in names:
        work = load_workload(name, WORKLOADS[name])
        possible += all(able(work, chip, einsum) for einsum in work.einsums)
        for template in template_names():
            try:
                made = build_mapping(work, chip, template)
            except EinsimError:
                continue
            check(made, work, chip)
            accepted += 1
    assert accepted >= 2 * possible  # unfused and resident suit all that a machine has the ops for
    return possible


def replace(tree, old, new):
    """The tree with one node (by identity) replaced."""
    if tree is old:
        return new
    if isinstance(tree, (Loop, Keep)):
        return msgspec.structs.replace(tree, body=replace(tree.body, old, new))
    if isinstance(tree, (Pipeline, Sequence)):
        return msgspec.structs.replace(tree, children=tuple(replace(c, old, new) for c in tree.children))
    return tree


def edit(node, **fields):
    return msgspec.structs.replace(node, **fields)


def mutations(made: Mapping, work, chip, rng):
    """Illegal trees, each with the rule it breaks."""
    nodes = [(node, above) for node, above in walk(made.tree)]
    loops = [(n, a) for n, a in nodes if isinstance(n, Loop)]
    keeps = [(n, a) for n, a in nodes if isinstance(n, Keep)]
    leaves = [n for n, _ in nodes if isinstance(n, Compute)]
    groups = [n for n, _ in nodes if isinstance(n, (Pipeline, Sequence))]
    leaf = rng.choice(leaves)
    other = rng.choice(leaves)
    einsum = work.einsum(leaf.einsum)

    yield "unknown unit", leaf, edit(leaf, unit="nothing")
    yield "unknown Einsum", leaf, edit(leaf, einsum="nothing")
    yield "unknown dimension", leaf, edit(leaf, spatial={"depth": einsum.ranks[:1]})
    yield "unknown dataflow", leaf, edit(leaf, stationarity="weight-stationery")
    if "row-stationary" not in chip.unit(leaf.unit).dataflows:
        yield "can't work row-stationary", leaf, edit(leaf, stationarity="row-stationary")
    yield "does not read this tensor", leaf, edit(leaf, chained=("nothing",))
    yield "computed twice", leaf, Pipeline(children=(leaf, leaf))
    yield "at least one child", leaf, Pipeline(children=(leaf, Pipeline(children=())))
    yield "unknown rank", made.tree, Loop(rank="zz", tile=1, body=made.tree)
    yield "unknown tensor", made.tree, Keep(tensors=("zz",), memory="gb", body=made.tree)
    yield "unknown memory", made.tree, Keep(tensors=(einsum.name,), memory="zz", body=made.tree)
    foreign = [r.name for r in work.ranks if r.name not in einsum.ranks]
    if foreign:
        yield (
            "does not iterate this rank",
            leaf,
            edit(leaf, spatial={next(iter(chip.unit(leaf.unit).dims)): foreign[:1]}),
        )
        yield "no Einsum below iterates", leaf, Loop(rank=foreign[0], tile=1, body=leaf)
    unused = [t.name for t in work.tensors if t.name not in {einsum.name, *(a.tensor for a in einsum.reads)}]
    if unused:
        yield (
            "no Einsum below reads or writes|further out",
            leaf,
            Keep(tensors=(unused[0],), memory="gb", body=leaf),
        )
    if loops:
        loop, _ = rng.choice(loops)
        yield "must be >= 1", loop, edit(loop, tile=0)
    if keeps:
        held, _ = rng.choice(keeps)
        yield "must be >= 1", held, edit(held, buffers=0)
        yield "must be >= 0 and < 1", held, edit(held, spill=1.0)
        yield "further out", held, Keep(tensors=held.tensors[:1], memory=held.memory, body=held)
        yield (
            "which is not outside",
            held,
            Keep(tensors=held.tensors[:1], memory="vec" if held.memory == "mm" else "mm", body=held),
        )
        yield "names a tensor twice", held, edit(held, tensors=(*held.tensors, held.tensors[0]))
        innermost = [n for n, a in keeps if not any(isinstance(b, Keep) and set(b.tensors) & set(n.tensors) for b in a)
                     and not any(isinstance(b, Keep) and b is not n and set(b.tensors) & set(n.tensors) for b, _ in walk(n.body))
                     and len(n.tensors) == 1]  # fmt: skip
        if innermost:
            yield "is in dram only", innermost[0], innermost[0].body
    if leaf is not other:
        yield "no leaf computes|computed twice|no op", leaf, edit(leaf, einsum=other.einsum, spatial={})
    for group in groups:
        pair = group.children
        first, last = ({n.einsum for n, _ in walk(c) if isinstance(n, Compute)} for c in (pair[0], pair[-1]))
        reads = {a.tensor for name in last for a in work.einsum(name).reads}
        if first & reads and len(pair) > 1:
            yield "before it is computed|all steps|reads", group, edit(group, children=pair[::-1])


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_illegal_mutations_are_refused_by_one_line(seed):
    case = program_case(seed)
    assume(case is not None)
    work, chip, made = case
    for rule, old, new in mutations(made, work, chip, random.Random(seed)):
        broken = msgspec.structs.replace(made, tree=replace(made.tree, old, new))
        with pytest.raises(SpecError) as raised:
            check(broken, work, chip)
        assert any(part in str(raised.value) for part in rule.split("|")), (rule, str(raised.value))
        assert "\n" not in str(raised.value)


@settings(max_examples=16, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_whatever_mutation_passes_runs_to_its_end(seed):
    """Swapped, dropped, duplicated and re-tiled nodes: refused by a SpecError, or simulated without a deadlock."""
    case = program_case(seed, largest=4)
    assume(case is not None)
    work, chip, made = case
    rng = random.Random(seed)
    for _ in range(6):
        node = rng.choice([n for n, _ in walk(made.tree)])
        new = node
        if isinstance(node, Loop):
            new = rng.choice(
                [
                    node.body,
                    edit(node, tile=max(1, node.tile // 2)),
                    edit(node, rank=rng.choice(work.ranks).name, tile=1),
                ]
            )
        elif isinstance(node, Keep):
            deeper = isinstance(node.body, (Loop, Keep))
            new = edit(node.body, body=edit(node, body=node.body.body)) if deeper else node.body
        elif children(node):
            new = edit(node, children=tuple(rng.sample(node.children, len(node.children))))
        broken = msgspec.structs.replace(made, tree=replace(made.tree, node, new))
        try:
            check(broken, work, chip)
        except SpecError:
            continue
        simulate(lower(broken, work, chip), chip)


ATTENTION = parse(
    "QK[m,p] = Q[e,p] * K[e,m]\nGM[p] = max[m](QK[m,p])\nSN[m,p] = exp(QK[m,p] - GM[p])",
    name="three", sizes={"m": 8, "p": 8, "e": 4},
)  # fmt: skip
WINDOW = parse(
    "where m <= p\nwhere p - m < 3\nQK[m,p] = Q[e,p] * K[e,m]", name="window", sizes={"m": 8, "p": 8, "e": 4}
)
HALO = parse("H[x] = exp(I[x])\nO[x] = H[x-r] * W[r]\nwhere r <= x", name="halo", sizes={"x": 8, "r": 2})
AHEAD = parse("H[x] = exp(I[x])\nO[x] = H[x+1] * 2\nwhere x < 7", name="ahead", sizes={"x": 8})
KEPT = msgspec.structs.replace(ATTENTION, declared=("QK",))
LOCAL = parse("A[t] = sum[s](X[t,s])\nB[t,s] = X[t,s] - A[t]", name="local", sizes={"t": 4, "s": 4})
STATE = parse(
    "initial R = 0\nR[s+1,p] = R[s,p] + X[s,p]\nY[s,p] = R[s+1,p] * 2", name="state", sizes={"s": 4, "p": 4}
)
KEEP3 = "keep Q K QK GM SN in gb x1\n"


def indent(text, levels):
    return "\n".join("  " * levels + line for line in text.splitlines())


@pytest.mark.parametrize(
    ("work", "text", "message"),
    [
        (ATTENTION, KEEP3 + "  for m/2\n    pipeline\n      QK on mm\n      GM on vec\n      SN on vec", "mapping.compute SN: reads GM inside the loop over m that still reduces it; end the loop over m before it"),
        (ATTENTION, KEEP3 + "  for e/2\n    pipeline\n      QK on mm\n      GM on vec\n      SN on vec", "mapping.for e.for: GM below does not iterate e: this loop would compute it again; move GM out of the loop"),
        (ATTENTION, "keep Q K GM SN in gb x1\n  for e/2\n    keep QK in gb x1\n      pipeline\n        QK on mm\n", "mapping: no leaf computes Einsum GM; nor SN"),
        (LOCAL, "keep X A B in gb x1\n  for s/2\n    pipeline\n      A on vec\n      B on vec", "mapping.compute B: reads A inside the loop over s that still reduces it; end the loop over s before it"),
        (LOCAL, "keep X B in gb x1\n  pipeline\n    for s/2\n      keep A in gb x1\n        A on vec\n    keep A in gb x1\n      B on vec", None),
        (HALO, "keep I H O W in gb x1\n  for x/2\n    pipeline\n      H on vec\n      O on vec", None),
        (AHEAD, "keep I H O in gb x1\n  for x/2\n    pipeline\n      H on vec\n      O on vec", "mapping.compute O: reads H at a x that the shared loop over it has not made; end the loop over x before it"),
        (HALO, "keep I O W in gb x1\n  for x/2\n    keep H in gb x1\n      pipeline\n        H on vec\n        O on vec", "mapping.keep H.keep: not modelled: it stands inside the loop over x, of which O reads H from an earlier iteration; keep H above that loop"),
        (STATE, "keep X R Y in gb x1\n  for s/2\n    pipeline\n      R on vec\n      Y on vec", "mapping.for s.tile: not modelled: Y takes several steps of s in one tile, not 1 (got 2)"),
        (STATE, "keep X R Y in gb x1\n  pipeline\n    for s/1\n      R on vec\n    for s/1\n      Y on vec", "mapping.compute Y: not modelled: reads all steps of R along s, not the last one; put both inside one loop over s in steps of 1"),
        (STATE, "keep X Y in gb x1\n  for s/1\n    keep R in gb x1\n      pipeline\n        R on vec\n        Y on vec", None),
        (STATE, "keep X R Y in gb x1\n  for p/2\n    pipeline\n      R on vec lanes=s\n      Y on vec", "mapping.compute R.spatial: a step needs the one before, so its rank can't lie along a dimension (got 's')"),
        (WINDOW, "keep Q K QK in gb x1\n  for m/2\n    for p/2\n      QK on mm", None),
        (ATTENTION, "keep Q K GM in gb x1\n  keep SN QK in gb x1 overlay\n    pipeline\n      QK on mm\n      GM on vec\n      SN on vec", "mapping.keep SN QK.overlay: QK does not depend on SN, whose bytes it takes"),
        (KEPT, "keep Q K GM in gb x1\n  keep QK SN in gb x1 overlay\n    pipeline\n      QK on mm\n      GM on vec\n      SN on vec", "mapping.keep QK SN.overlay: QK leaves gb, but nothing holds SN back until it has"),
        (ATTENTION, "keep Q K GM SN in gb x1\n  keep QK in mm x1\n    pipeline\n      QK on mm\n      GM on vec\n      SN on vec", "mapping.compute GM: operand QK is in mm, but unit vec reads from gb; keep QK in gb above it"),
        (ATTENTION, KEEP3 + "  pipeline\n    QK on mm\n    for m/2\n      GM on vec\n    SN on vec chained=GM", "mapping.compute SN.chained: GM is not made on vec inside the same loops; leave GM out of chained and keep it"),
        (ATTENTION, "keep Q K QK SN GM in gb x1000000000000\n  for p/2\n    pipeline\n      QK on mm\n      GM on vec\n      SN on vec", None),
    ],
)  # fmt: skip
def test_each_rule_has_its_line(work, text, message):
    chip = machine(random.Random(5), levels=1)
    made = parse_text(f"{work.name} on chip (test)\n{text}")
    if message is None:
        check(made, work, chip)
        return
    with pytest.raises(SpecError) as raised:
        check(made, work, chip)
    assert str(raised.value) == message


def test_capacity_names_the_largest_keep():
    chip = machine(random.Random(5), levels=1)
    small = [msgspec.structs.replace(m, capacity_bytes=300) if m.name == "gb" else m for m in chip.memories]
    chip = msgspec.structs.replace(chip, memories=tuple(small))
    text = "keep Q K in gb x1\n  keep QK SN GM in gb x1\n    pipeline\n      QK on mm\n      GM on vec\n      SN on vec"
    with pytest.raises(SpecError) as raised:
        check(parse_text(f"three on chip (t)\n{text}"), ATTENTION, chip)
    assert str(raised.value) == (
        "mapping.keep QK SN GM: 400 bytes are needed in gb, which has 300; "
        "the largest share is this one's, 272: use smaller tiles or fewer buffers"
    )


def test_the_random_mappings_are_varied():
    """The laws elsewhere are only as good as their cases: fused and unfused, two memories, spills, sequences."""
    texts = []
    for seed in range(60):
        case = program_case(seed)
        if case is not None:
            texts.append(case[2])
    nodes = [node for made in texts for node, _ in walk(made.tree)]
    assert sum(isinstance(node, Sequence) for node in nodes) > 10
    assert sum(isinstance(node, Keep) and node.spill > 0 for node in nodes) > 10
    assert {node.memory for node in nodes if isinstance(node, Keep)} == {"gb", "l1"}
    assert len(texts) > 45


@pytest.mark.parametrize(
    ("tile", "bytes_needed"), [(4, 64 * 4 + 2 * 4 * 8 * 2), (32, 64 * 2 + 2 * 32 * 8 * 2)]
)
def test_partial_sums_have_to_fit_as_wide_as_they_are(tile, bytes_needed):
    # 64 results, of 4 bytes while k is split and of 2 where it is not, and tiles of A and B
    work = parse("Z[m,n] = A[m,k] * B[k,n]", name="split", sizes={"m": 8, "n": 8, "k": 32})
    text = f"keep Z in gb x1\n  for k/{tile}\n    keep A B in gb x1\n      Z on array2d rows=m cols=n"
    tree = parse_text(f"split on flat-edge (test)\n{text}")
    check(tree, work, load_machine("flat-edge", {"buffer": f"{bytes_needed}B", "array.accumulator_bits": 32}))
    less = load_machine("flat-edge", {"buffer": f"{bytes_needed - 1}B", "array.accumulator_bits": 32})
    with pytest.raises(SpecError, match=f"{bytes_needed} bytes are needed in gb"):
        check(tree, work, less)
