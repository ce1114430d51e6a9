"""The same cascade by another hand: other names, other orders wherever order says nothing."""

from __future__ import annotations

import random

import msgspec

from einsim.workloads.bound import SameBlock
from einsim.workloads.cascade import Bound, Cascade, Einsum, Partition, Rank
from einsim.workloads.expression import Access, Apply, Expr, Index, Term
from einsim.workloads.notation import parse
from einsim.workloads.ops import position_op, position_rank, prune_op, prune_parts
from einsim.workloads.order import trails

#: The library's 3-pass attention with other names for what it computes.
ANOTHER_HAND = """
S[b,h,m,p] = Q[b,h,e,p] * K[b,h,e,m]
X[b,h,p]   = max[m](S[b,h,m,p])
N[b,h,m,p] = exp(S[b,h,m,p] - X[b,h,p])
D[b,h,p]   = sum[m](N[b,h,m,p])
W[b,h,m,p] = N[b,h,m,p] / D[b,h,p]
O[b,h,f,p] = W[b,h,m,p] * V[b,h,f,m]
"""


def renamed(cascade: Cascade, seed: int, *, commute: bool = False) -> Cascade:
    """Every rank and tensor under a random name, ranks, tensors, bounds and independent Einsums shuffled.

    It is written as text and read again, as a user's file is. `commute` shuffles the operands of additions, products, maxima and minima too.
    """
    pick = random.Random(seed)
    ranks = _names([rank.name for rank in cascade.ranks], pick, str.lower)
    tensors = _names([tensor.name for tensor in cascade.tensors], pick, str.upper)

    def index(old: Index) -> Index:
        return Index(tuple(Term(t.coefficient, ranks[t.rank]) for t in old.terms), old.offset)

    def access(old: Access) -> Access:
        return Access(tensors[old.tensor], tuple(map(index, old.indices)))

    def expression(old: Expr) -> Expr:
        if isinstance(old, Access):
            return access(old)
        if not isinstance(old, Apply):
            return old
        op, args = old.op, list(map(expression, old.args))
        if rank := position_rank(op):
            op = position_op(ranks[rank])
        elif parts := prune_parts(op):
            op = prune_op(parts[0], parts[1], ranks[parts[2]])
        if commute and op in {"add", "mul", "max", "min"}:
            pick.shuffle(args)
        return Apply(op, tuple(args))

    einsums = [
        Einsum(access(e.output), expression(e.expr), e.reduce, tuple(ranks[rank] for rank in e.reduced))
        for e in cascade.einsums
    ]
    bounds = [
        SameBlock(index(b.left), index(b.right), b.lengths)
        if isinstance(b, SameBlock)
        else Bound(index(b.left), index(b.right))
        for b in cascade.bounds
    ]
    written = msgspec.structs.replace(
        cascade,
        name=f"w{pick.randrange(10**6)}",
        ranks=_shuffled([Rank(ranks[rank.name], rank.size) for rank in cascade.ranks], pick),
        tensors=_shuffled([_tensor(tensor, ranks, tensors) for tensor in cascade.tensors], pick),
        einsums=_any_order(einsums, pick),
        bounds=_shuffled(bounds, pick),
        initial={tensors[name]: value for name, value in cascade.initial.items()},
        declared=_shuffled([tensors[name] for name in cascade.declared], pick),
        partitions=tuple(
            Partition(ranks[part.rank], tuple(ranks[rank] for rank in part.into))
            for part in cascade.partitions
        ),
    )
    return parse(str(written), name=written.name)


def _names(old: list[str], pick: random.Random, case) -> dict[str, str]:
    numbers = pick.sample(range(10**6), len(old))
    return {name: case(f"{pick.choice('aqz')}{number}") for name, number in zip(old, numbers, strict=True)}


def _tensor(tensor, ranks, tensors):
    sparsity = tensor.sparsity
    if sparsity.rank:
        sparsity = msgspec.structs.replace(sparsity, rank=ranks[sparsity.rank])
    return msgspec.structs.replace(
        tensor,
        name=tensors[tensor.name],
        ranks=tuple(ranks[rank] for rank in tensor.ranks),
        sparsity=sparsity,
    )


def _shuffled(values: list, pick: random.Random) -> tuple:
    return tuple(pick.sample(values, len(values)))


def _any_order(einsums: list[Einsum], pick: random.Random) -> tuple[Einsum, ...]:
    """A random order in which each comes after what it reads."""
    by_name = {einsum.name: einsum for einsum in einsums}
    needs = {
        einsum.name: {
            read.tensor for read in einsum.reads
            if read.tensor in by_name and not trails(read, by_name[read.tensor])
        }
        for einsum in einsums
    }  # fmt: skip
    order: list[Einsum] = []
    while needs:
        ready = [name for name, needed in needs.items() if not needed & needs.keys()]
        chosen = pick.choice(ready)
        order.append(by_name[chosen])
        del needs[chosen]
    return tuple(order)
