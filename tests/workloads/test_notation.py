"""The notation means what it says, prints back to itself, and faults are told with line, place and hint."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.specs.errors import SpecError
from einsim.workloads import library
from einsim.workloads.cascade import Access, Apply, Bound, Einsum, Index, Literal, SameBlock, Term
from einsim.workloads.notation import parse
from einsim.workloads.ops import OPS
from einsim.workloads.sparsity import NM, Block, Density, TopK

RANKS = "rank b = 2, m = 12, p = 12, e = 4\n"


def plain(tensor: str, ranks: str) -> Access:
    return Access(tensor, tuple(Index((Term(1, rank),)) for rank in ranks))


def test_a_rank_on_the_right_only_is_summed():
    einsum = parse(RANKS + "QK[b,m,p] = Q[b,e,p] * K[b,e,m]").einsum("QK")
    product = Apply("mul", (plain("Q", "bep"), plain("K", "bem")))
    assert einsum == Einsum(plain("QK", "bmp"), product, "sum", ("e",))
    assert einsum.ranks == ("b", "m", "p", "e")


@pytest.mark.parametrize(
    ("right", "ops"),
    [
        ("X[m,p]", ()),
        ("X[m,p] * Y[m,p]", ("mul",)),
        ("Q[e,p] * K[e,m]", ("mac",)),
        ("Q[e,p] * K[e,m] * W[e]", ("mul", "mac")),
        ("exp(X[m,p] - G[p])", ("add", "exp")),
        ("sum[e](exp(T[e,m,p] - G[p]))", ("add", "exp", "add")),
        ("max[e](T[e,m,p])", ("max",)),
        ("min[e](T[e,m,p] * S[e])", ("mul", "min")),
        ("X[m,p] / S[p]", ("div",)),
        ("X[m,p] if X[m,p] > 0 else 0", ("cmp", "select")),
        ("relu(X[m,p])", ("max",)),
        ("silu(X[m,p] + B[m])", ("add", "sigmoid", "mul")),
        ("gelu(X[m,p])", ("mul", "mul", "erf", "add", "mul")),
        ("X[m,p] ** 3", ("mul", "mul")),
        ("-X[m,p]", ("add",)),
        ("prune[2:4,m](X[m,p])", ("select",)),
        ("X[m,p] * m", ("mul",)),
        ("rsqrt(X[m,p] / M + 0.5)", ("div", "add", "rsqrt")),
    ],
)
def test_ops_of_a_point_are_the_canonical_ones_in_order(right, ops):
    assert parse(RANKS + f"Z[m,p] = {right}").einsum("Z").ops == ops


def test_a_partitioned_rank_stands_for_its_parts_everywhere():
    cascade = parse("""
        rank m = 12, m0 = 4, p = 12
        m -> m1, m0
        where m <= p
        S[m1,m0,p] = K[m] * Q[p]
    """)
    parts = Index((Term(4, "m1"), Term(1, "m0")))
    assert cascade.einsum("S").reads[0] == Access("K", (parts,))
    assert cascade.bounds == (Bound(parts, Index((Term(1, "p"),))),)
    assert [rank.name for rank in cascade.ranks] == ["m", "m1", "m0", "p"]
    assert cascade.size("m1") == 3
    assert cascade.shape("K") == (12,)
    assert cascade.tensor("K").ranks == ("m",)


@pytest.mark.parametrize(
    ("bound", "cuts"), [("m <= p + 3", False), ("m <= p + 2", True), ("p - m < 3", False)]
)
def test_bounds_that_all_points_keep_are_none(bound, cuts):
    """As the causal one of a step that has one query, after all keys."""
    cascade = parse(f"rank m = 4, p = 3\nwhere {bound}\nS[m,p] = K[m] * Q[p]")
    assert bool(cascade.bounds) == cuts
    assert cascade.points("S") == 12 - cuts


def test_a_part_that_does_not_divide_is_padded_and_the_padding_bounded():
    cascade = parse("rank m = 10, m0 = 4\nm -> m1, m0\nS[m1,m0] = exp(K[m])")
    assert cascade.size("m1") == 3
    assert cascade.points("S") == 10
    assert cascade.shape("K") == (10,)


def test_an_iterative_rank_has_one_more_state_than_steps():
    cascade = parse("rank t = 5\ninitial S = -inf\nS[t+1] = max(S[t], X[t])\nZ = S[T] * 1")
    assert cascade.shape("S") == (6,)
    assert cascade.einsum("S").iterative == ("t",)
    assert cascade.einsum("Z").reads == (Access("S", (Index((), 5),)),)
    assert cascade.initial == {"S": float("-inf")}
    assert cascade.shape("Z") == ()


def test_an_affine_index_reaches_over_the_halo():
    cascade = parse("rank t = 8, r = 3, c = 2\nY[t] = X[2*t+r,c] * W[r,c]")
    assert cascade.shape("X") == (17, 2)
    assert cascade.einsum("Y").reduced == ("r", "c")


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("m <= p", [("m", 0, "p", 0)]),
        ("m < p", [("m", 1, "p", 0)]),
        ("p >= m", [("m", 0, "p", 0)]),
        ("p - m < 3", [("p-m", 1, "", 3)]),
        ("m == p", [("m", 0, "p", 0), ("p", 0, "m", 0)]),
        ("p - 3 < m <= p and m > 1", [("p", 0, "m", 2), ("m", 0, "p", 0), ("", 2, "m", 0)]),
    ],
)
def test_comparisons_become_bounds_of_left_at_most_right(text, bounds):
    def index(ranks, offset):
        terms = {"m": (Term(1, "m"),), "p": (Term(1, "p"),), "": (), "p-m": (Term(1, "p"), Term(-1, "m"))}
        return Index(terms[ranks], offset)

    found = parse(RANKS + f"where {text}\nZ[m,p] = X[m] * Y[p]").bounds
    assert found == tuple(Bound(index(a, i), index(b, j)) for a, i, b, j in bounds)


def test_documents_are_blocks_of_equal_or_given_lengths():
    m, p = Index((Term(1, "m"),)), Index((Term(1, "p"),))
    cascade = parse(RANKS + "where m // 4 == p // 4 and same[5,7](m, p)\nZ[m,p] = X[m] * Y[p]")
    assert cascade.bounds == (SameBlock(m, p, (4,)), SameBlock(m, p, (5, 7)))


def test_tensors_may_be_declared_with_width_and_sparsity():
    cascade = parse(
        RANKS
        + """
        tensor A[m,p] bits 8 sparse 2:4 m
        tensor B[m] sparse topk 3:12 m
        tensor C[p] bits 4 sparse block 4 0.25 p
        tensor D sparse density 0.5
        Z[m,p] = A[m,p] * B[m] * C[p] * D[m]
        P[m,p] = prune[1:4,p](A[m,p])
    """
    )
    found = {tensor.name: (tensor.bits, tensor.sparsity) for tensor in cascade.tensors}
    assert found["A"] == (8, NM(2, 4, "m"))
    assert found["B"] == (16, TopK(3, 12, "m"))
    assert found["C"] == (4, Block(4, 0.25, "p"))
    assert found["D"] == (16, Density(0.5))
    assert found["P"] == (16, NM(1, 4, "p"))


def test_operators_of_ones_own_are_expanded():
    cascade = parse(RANKS + "def clip(x, top) = min(max(x, 0), top)\nZ[m] = clip(X[m] + 1, 6)")
    shifted = Apply("add", (plain("X", "m"), Literal(1.0)))
    assert cascade.einsum("Z").expr == Apply("min", (Apply("max", (shifted, Literal(0.0))), Literal(6.0)))


def test_einsums_are_put_in_an_order_that_runs():
    cascade = parse(RANKS + "Z[m] = Y[m] + X[m]\nY[m] = exp(X[m])")
    assert [einsum.name for einsum in cascade.einsums] == ["Y", "Z"]
    assert [tensor.name for tensor in cascade.inputs] == ["X"]
    assert [tensor.name for tensor in cascade.outputs] == ["Z"]
    assert [einsum.name for einsum in cascade.consumers("X")] == ["Y", "Z"]


def test_a_statement_goes_on_while_a_bracket_is_open_and_comments_are_dropped():
    cascade = parse(RANKS + "Z[m] = exp(  # first\n  X[m]\n)  # last\n\n# alone\n")
    assert cascade.einsum("Z").expr == Apply("exp", (plain("X", "m"),))


@pytest.mark.parametrize("name", library.names())
def test_every_library_cascade_prints_back_to_itself(name):
    cascade = library.build(name)
    assert parse(str(cascade)) == cascade
    assert hash(parse(str(cascade))) == hash(cascade)


def expressions():
    leaves = st.one_of(
        st.sampled_from([plain("X", "mp"), plain("Y", "m"), Access("S", (Index((Term(2, "m"),), 1),))]),
        st.floats(allow_nan=False, width=32).map(Literal),
        st.sampled_from([Apply("position[m]", ())]),
    )
    return st.recursive(
        leaves,
        lambda inner: st.sampled_from(sorted(OPS)).flatmap(
            lambda op: st.tuples(*[inner] * OPS[op].arity).map(lambda args: Apply(op, args))
        ),
        max_leaves=12,
    )


def folds(expr) -> bool:
    """Whether a part of an expression is a constant that the parser would work out."""
    if not isinstance(expr, Apply):
        return False
    constant = all(isinstance(argument, Literal) for argument in expr.args)
    return (constant and expr.op in ("add", "sub", "mul", "div")) or any(map(folds, expr.args))


@settings(max_examples=80, deadline=None)
@given(expressions().filter(lambda expr: not folds(expr)))
def test_any_expression_prints_back_to_itself(expr):
    base = parse(RANKS + "Z[m,p] = X[m,p] * Y[m] * S[2*m+1]")
    from einsim.workloads.text import expr_text

    sizes = {rank.name: rank.size for rank in base.ranks}
    read = parse(RANKS + f"Z[m,p] = {expr_text(expr, sizes)}").einsum("Z")
    assert read.expr == expr


FAULTS = {
    "Z[m] = X[k]": "line 2 einsums.Z: unknown rank 'k'; known: b, m, p, e",
    "Z[m] = X[mm]": "line 2 einsums.Z: unknown rank 'mm'; did you mean 'm'?",
    "Z[m] = expo(X[m])": "line 2 einsums.Z: unknown operator 'expo'; did you mean 'exp'?",
    "Z[m] = X[m] * scale": "line 2 einsums.Z: unknown name 'scale'; known: b, m, p, e",
    "Z[m] = X[m] +": "line 2 einsums.Z: is not an expression (got 'X[m] +')",
    "Z[m] = [X[m]": "line 2: a bracket is not closed (got 'Z[m] = [X[m]')",
    "Z[m] = 'text'": "line 2 einsums.Z: is not part of the Einsum notation (got \"'text'\")",
    "Z[m] = __import__('os').system('x')": (
        "line 2 einsums.Z: is not part of the Einsum notation (got \"__import__('os').system('x')\")"
    ),
    "Z[m] = (lambda: 1)()": "line 2 einsums.Z: is not part of the Einsum notation (got '(lambda: 1)()')",
    "Z[m] = X[m*m]": "line 2 einsums.Z: an index is a sum of ranks, each times a whole number (got 'm * m')",
    "Z[m] = X[m/2]": "line 2 einsums.Z: an index is a sum of ranks, each times a whole number (got 'm / 2')",
    "Z[m] = X[m-1]": "line 2 einsums.Z: dimension 1 of 'X' is indexed below 0 (got -1)",
    "Z[m,m] = X[m]": "line 2 einsums.Z: rank 'm' is on the left twice",
    "Z[2*m] = X[m]": (
        "line 2 einsums.Z: an output index is a rank, the next step of one (m1+1) or parts of one (m1*M0+m0)"
    ),
    "Z[m] = max[m](X[m])": (
        "line 2 einsums.Z: reduced rank 'm' is on the left too; remove it from one of the sides"
    ),
    "Z[m] = max[p](X[m,p,e])": (
        "line 2 einsums.Z: rank 'e' is on the right only and max[p] doesn't reduce it; "
        "write max[p,e](...), or put it on the left"
    ),
    "Z[m] = prod[p](X[m,p])": "line 2 einsums.Z: unknown reduction 'prod'; known: sum, max, min",
    "Z[m] = exp(sum[p](X[m,p]))": (
        "line 2 einsums.Z: a reduction must be outermost; give it its own Einsum (got 'sum[p](X[m, p])')"
    ),
    "Z[m] = X[m]\nZ[m] = Y[m]": "line 3 einsums.Z: tensor 'Z' is written twice; first in line 2",
    "Z[m] = Y[m]\nY[m] = Z[m]": "line 2 einsums.Z: the cascade is cyclic: Z <- Y <- Z",
    "Z[m] = Z[m] + X[m]": "line 2 einsums.Z: the cascade is cyclic: Z <- Z",
    "Z[m] = X[m] + X[e]": (
        "line 2 einsums.Z: dimension 1 of tensor 'X' is 'm' of size 12, so rank 'e' of size 4 doesn't fit"
    ),
    "Y[m] = X[m,p]\nZ[m] = X[m]": "line 3 einsums.Z: tensor 'X' has 2 dimensions elsewhere (got 1)",
    "Y[m] = X[m]\nZ[m] = Y[m+3]": (
        "line 3 einsums.Z: reads dimension 1 of 'Y' up to 14, past its last element 11"
    ),
    "S[m+1] = S[m] + X[m]": (
        "line 2 einsums.S: an iterative tensor needs its initial value; "
        "write `initial S = 0`, or -inf for a maximum"
    ),
    "initial Q = 0\nZ[m] = X[m]": (
        "line 2 initial.Q: no iterative Einsum writes it; no Einsum here is iterative"
    ),
    "where m < k\nZ[m] = X[m]": "line 2 where: unknown rank 'k'; known: b, m, p, e",
    "where m\nZ[m] = X[m]": (
        "line 2 where: a bound compares indices, as in m <= p or p // 512 == m // 512 (got 'm')"
    ),
    "where m != p\nZ[m] = X[m]": "line 2 where: a bound uses <, <=, >, >= or == (got 'm != p')",
    "where m // 0 == p // 0\nZ[m] = X[m]": "line 2 where: block lengths must be whole numbers >= 1 (got '0')",
    "rank q = 0\nZ[m] = X[m]": "line 2 ranks.q: must be >= 1 (got 0)",
    "rank q = -3\nZ[m] = X[m]": "line 2 ranks.q: must be >= 1 (got -3)",
    "rank q = 2000000000000\nZ[m] = X[m]": "line 2 ranks.q: must be <= 2**40 (got 2000000000000)",
    "rank in = 3\nZ[m] = X[m]": "line 2 ranks.in: is a reserved word of the notation",
    "rank q\nZ[m] = X[m]": "line 2 ranks.q: a rank is written `rank m = 1024` (got 'q')",
    "rank m = 3\nZ[m] = X[m]": "line 2 ranks.m: is given twice; first in line 1",
    "m -> m1, m0\nZ[m1] = X[m]": "line 2 ranks.m0: rank 'm' is split by it, so it needs a size",
    "rank m0 = 4, m1 = 9\nm -> m1, m0\nZ[m1] = X[m]": (
        "line 2 ranks.m1: must be 3, as m = 12 in parts of 4 (got 9)"
    ),
    "m -> m1\nZ[m] = X[m]": "line 2 partitions.m: a partition is written m -> m1, m0 (got 'm1')",
    "tensor W[m]\nZ[m] = X[m]": "line 2 tensors.W: no Einsum uses it; known: X, Z",
    "tensor X[k]\nZ[m] = X[m]": "line 2 tensors.X: unknown rank 'k'; known: b, m, p, e",
    "tensor X[m] bits 0\nZ[m] = X[m]": "line 2 tensors.X.bits: must be 1 to 1024 (got 0)",
    "tensor X[m] bits many\nZ[m] = X[m]": "line 2 tensors.X.bits: must be a whole number (got 'many')",
    "tensor X[m] sparse 5:4 m\nZ[m] = X[m]": (
        "line 2 tensors.X.sparse: sparsity is `n:m rank` (1 <= n <= m), `topk k:of rank`, "
        "`block size share rank` or `density share` (got '5:4 m')"
    ),
    "tensor X[m] sparse 2:4 p\nZ[m] = X[m]": "line 2 tensors.X.sparse: 'p' is not a dimension of X; known: m",
    "Z[m] = prune[5:4,m](X[m])": "line 2 einsums.Z: prune[n:m,rank] needs 1 <= n <= m (got '5:4')",
    "Z[m] = 2 * prune[2:4,m](X[m])": "line 2 einsums.Z: pruning stands alone: Wp[i,o] = prune[2:4,i](W[i,o])",
    "Z[m] = X[m] ** 9": "line 2 einsums.Z: is not part of the Einsum notation (got 'X[m] ** 9')",
    "Z[m] = exp(X[m], X[m])": "line 2 einsums.Z: exp takes 1 argument (got 2)",
    "sm [m] X": "line 2 einsums: an Einsum is written Z[m] = ... (got 'sm [m] X'); known: cascade, rank, tensor, initial, where, output, def",
    "": "einsums: a cascade needs at least one Einsum",
    "Z[m] = X[m] * (1e308 * 10 - 1e308 * 10)": "line 2 einsums.Z: is a number out of range",
    "initial S = 0\nS[m+1] = S[m+2] + X[m]": (
        "line 3 einsums.S: reads dimension 1 of 'S' up to 13, past its last element 12"
    ),
    "initial S = 0\nS[m+1] = T + X[m]\nT = sum[m](S[m])": (
        "line 4 einsums.T: is part of a recurrence along 'm', so it can't leave it"
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", FAULTS)
def test_a_fault_is_told_in_one_line_with_its_place(text):
    with pytest.raises(SpecError) as error:
        parse(RANKS + text)
    assert str(error.value) == FAULTS[text]


def test_expressions_that_would_explode_are_refused():
    bomb = "def f(x) = x * x + x * x\n" + "Z[m] = " + "f(" * 20 + "X[m]" + ")" * 20
    with pytest.raises(SpecError) as error:
        parse(RANKS + bomb)
    rule = "grows past 2000 terms once its operators are expanded"
    assert str(error.value) == f"line 3 einsums.Z: {rule}"


def test_deep_nesting_is_refused():
    with pytest.raises(SpecError) as error:
        parse(RANKS + "Z[m] = " + "exp(" * 80 + "X[m]" + ")" * 80)
    rule = "nests deeper than 60 levels; give parts of it their own Einsum"
    assert str(error.value) == f"line 2 einsums.Z: {rule}"


def test_outputs_are_what_nobody_reads_and_what_is_declared():
    text = RANKS + "Y[m] = exp(X[m])\nZ[m] = Y[m] + X[m]\nD[p] = exp(E[p])"
    assert [tensor.name for tensor in parse(text).outputs] == ["Z", "D"]
    declared = parse(text + "\noutput Y, D")
    assert {tensor.name for tensor in declared.outputs} == {"Y", "Z", "D"}
    assert parse(str(declared)) == declared
    assert declared != parse(text)
    assert hash(declared) != hash(parse(text))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ("Q", "line 5 outputs.Q: no Einsum writes it; known: Y, Z"),
        ("X", "line 5 outputs.X: is an input, which no Einsum writes"),
        ("Y, Y", "line 5 outputs.Y: is given twice"),
        ("Y Z", "line 5 outputs: is written output K, V (got 'Y Z')"),
    ],
)
def test_a_wrong_output_is_told_with_its_line(outputs, message):
    with pytest.raises(SpecError) as raised:
        parse(RANKS + f"Y[m] = exp(X[m])\nZ[m] = Y[m] + X[m]\n\noutput {outputs}")
    assert str(raised.value) == message
