"""The text notation of a cascade: one statement a line, read to a checked `Cascade`.

rank b = 2, e = 64, m = 1024, p = 1024      # sizes
m -> m1, m0                                 # partition: m is walked as m1 * M0 + m0
tensor K[b,e,m] bits 8 sparse 2:4 e         # optional
initial RM = -inf                           # state before the first step
where p - 128 < m <= p                      # bound of the iteration space
output K, V                                 # tensors that are read on and outputs too
def clip(x) = min(max(x, 0), 6)             # operator of one's own
QK[b,m,p] = Q[b,e,p] * K[b,e,m]             # an Einsum; e is on the right only: summed
GM[b,p]   = max[m](QK[b,m,p])               # another reduction, named
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.specs.remembered import Remembered
from einsim.workloads import syntax
from einsim.workloads.cascade import Bound, Cascade, Einsum, Partition, Rank, SameBlock, Tensor
from einsim.workloads.check import checked
from einsim.workloads.expression import Access, Apply, Expr, Index, Literal, expression_ranks, nodes
from einsim.workloads.ops import DEFINED, OPS, prune_parts
from einsim.workloads.settle import declared_tensors, settle_partitions
from einsim.workloads.sparsity import DENSE, NM, Block, Density, Sparsity, TopK
from einsim.workloads.syntax import Scope

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_KEYWORD = re.compile(r"(cascade|rank|tensor|initial|where|output|def)\s+(?=[^=\s])(.*)", re.DOTALL)
_SPLIT = re.compile(rf"({_NAME})\s*->\s*(.*)", re.DOTALL)
_TENSOR = re.compile(rf"({_NAME})\s*(?:\[([^\]]*)\])?(?:\s+bits\s+(\S+))?(?:\s+sparse\s+(.+))?")
_DEFINE = re.compile(rf"({_NAME})\s*\(([^)]*)\)\s*=\s*(.+)", re.DOTALL)
_ASSIGN = re.compile(r"(?<![<>=!])=(?!=)")


class Line(msgspec.Struct, frozen=True):
    """One statement and where it stands, as `file.yaml:12`."""

    where: str
    text: str


class Declared(msgspec.Struct, frozen=True):
    """A tensor as the user declared it; ranks None when only its width or sparsity is given."""

    ranks: tuple[str, ...] | None
    bits: int
    sparsity: Sparsity
    where: str


class Draft(msgspec.Struct):
    """Statements by kind, gathered before the first one is resolved."""

    name: str = "cascade"
    sizes: dict[str, int] = {}
    size_where: dict[str, str] = {}
    partitions: dict[str, Partition] = {}
    tensors: dict[str, Declared] = {}
    initial: dict[str, float] = {}
    where: list[Line] = []
    outputs: dict[str, str] = {}
    definitions: list[Line] = []
    einsums: list[Line] = []


def parse(
    text: str,
    *,
    name: str = "cascade",
    sizes: Mapping[str, int] | None = None,
    parameters: Mapping[str, float] | None = None,
    source: str = "",
) -> Cascade:
    """A cascade from its text; `sizes` and `parameters` give values beside those in the text.

    Raises SpecError with the line of the first fault. The same text with the same values is read once.
    """

    def read() -> Cascade:
        draft = Draft(name=name, sizes=dict(sizes or {}))
        for line in statements(text, source):
            read_statement(line, draft, parameters or {})
        return resolve(draft, parameters or {}, source)

    return _READ.get((text, name, repr(sizes), repr(parameters), source, tuple(OPS.items())), read)


_READ: Final = Remembered[Cascade](256)


def statements(text: str, source: str = "", first_line: int = 1) -> Iterator[Line]:
    """Statements with comments removed; an open bracket carries a statement on to the next line."""
    held, start = "", first_line
    for number, raw in enumerate(text.splitlines(), first_line):
        part = raw.split("#", 1)[0].rstrip()
        start = start if held else number
        held = f"{held} {part.strip()}" if held else part.strip()
        if held and _open(held) <= 0:
            yield Line(_place(source, start), held)
            held = ""
    if held:
        raise SpecError("", "a bracket is not closed", got=held, where=_place(source, start))


def _open(text: str) -> int:
    return sum(text.count(mark) for mark in "([{") - sum(text.count(mark) for mark in ")]}")


def _place(source: str, line: int) -> str:
    return f"{source}:{line}" if source else f"line {line}"


def read_statement(line: Line, draft: Draft, parameters: Mapping[str, float]) -> None:
    """Sort one statement into the draft."""
    found = _KEYWORD.fullmatch(line.text)
    kind, rest = (found[1], found[2]) if found else ("", line.text)
    split = _SPLIT.fullmatch(line.text)
    if kind == "cascade":
        draft.name = rest.strip()
    elif kind == "rank":
        for part in rest.split(","):
            _read_rank(part, line, draft, parameters)
    elif split:
        add_partition(draft, split[1], tuple(part.strip() for part in split[2].split(",")), line.where)
    elif kind == "tensor":
        _read_tensor(rest, line, draft)
    elif kind == "initial":
        _read_initial(rest, line, draft, parameters)
    elif kind == "where":
        draft.where.append(Line(line.where, rest))
    elif kind == "output":
        for part in rest.split(","):
            add_output(draft, part.strip(), line.where)
    elif kind == "def":
        draft.definitions.append(Line(line.where, rest))
    else:
        draft.einsums.append(line)


def _read_rank(text: str, line: Line, draft: Draft, parameters: Mapping[str, float]) -> None:
    name, _, value = (part.strip() for part in text.partition("="))
    scope = _scope(draft, parameters, Line(line.where, ""), f"ranks.{name}")
    size = syntax.index(syntax.tree(value, scope), scope) if value else Index(())
    if not value or size.terms:
        raise scope.error("a rank is written `rank m = 1024`", text.strip())
    add_rank(draft, name, size.offset, line.where)


def add_rank(draft: Draft, name: str, size: int, where: str) -> None:
    """Enter a rank, checking its name; sizes are checked once all are known."""
    if not re.fullmatch(_NAME, name):
        raise SpecError(f"ranks.{name}", "a rank's name is letters, digits and _", got=name, where=where)
    if keyword.iskeyword(name):
        raise SpecError(f"ranks.{name}", "is a reserved word of the notation", where=where)
    if name in draft.size_where:
        raise SpecError(
            f"ranks.{name}", "is given twice", where=where, hint=f"first in {draft.size_where[name]}"
        )
    draft.sizes[name], draft.size_where[name] = size, where


def add_partition(draft: Draft, rank: str, into: tuple[str, ...], where: str) -> None:
    """Enter `rank -> into`."""
    path = f"partitions.{rank}"
    if len(into) < 2 or len(set(into)) < len(into) or not all(re.fullmatch(_NAME, part) for part in into):
        raise SpecError(path, "a partition is written m -> m1, m0", got=", ".join(into), where=where)
    taken = {part for other in draft.partitions.values() for part in other.into} | set(draft.partitions)
    again = [part for part in (rank, *into) if part in taken]
    if again or rank in into:
        raise SpecError(path, f"rank '{(again or [rank])[0]}' is partitioned twice", where=where)
    draft.partitions[rank] = Partition(rank, into)
    draft.size_where.setdefault(f"-> {rank}", where)


def _read_tensor(text: str, line: Line, draft: Draft) -> None:
    found = _TENSOR.fullmatch(text.strip())
    if not found:
        raise SpecError(
            "tensors", "is written tensor K[b,e,m] bits 16 sparse 2:4 e", got=text, where=line.where
        )
    name, ranks, bits, sparse = found.groups()
    path = f"tensors.{name}"
    if bits is not None and not bits.isdecimal():
        raise SpecError(f"{path}.bits", "must be a whole number", got=bits, where=line.where)
    listed = None if ranks is None else tuple(rank.strip() for rank in ranks.split(",") if rank.strip())
    width = 16 if bits is None else int(bits)
    sparsity = DENSE if sparse is None else parse_sparsity(sparse, path, line.where)
    add_tensor(draft, name, Declared(listed, width, sparsity, line.where))


def add_tensor(draft: Draft, name: str, declared: Declared) -> None:
    """Enter a tensor's declaration."""
    if name in draft.tensors:
        raise SpecError(f"tensors.{name}", "is declared twice", where=declared.where)
    if not 1 <= declared.bits <= 1024:
        raise SpecError(f"tensors.{name}.bits", "must be 1 to 1024", got=declared.bits, where=declared.where)
    draft.tensors[name] = declared


def add_output(draft: Draft, name: str, where: str) -> None:
    """Enter a tensor as an output; that an Einsum writes it is checked once all are known."""
    if not re.fullmatch(_NAME, name):
        raise SpecError("outputs", "is written output K, V", got=name, where=where)
    if name in draft.outputs:
        raise SpecError(f"outputs.{name}", "is given twice", where=where)
    draft.outputs[name] = where


def parse_sparsity(text: str, path: str, where: str) -> Sparsity:
    """`2:4 e`, `topk 8:64 e`, `block 16 0.3 e`, `density 0.1` or `dense`."""
    words = text.replace(",", " ").split()
    try:
        match words:
            case ["dense"]:
                return DENSE
            case ["density", share] if 0 <= float(share) <= 1:
                return Density(float(share))
            case ["block", size, share, rank] if int(size) >= 1 and 0 <= float(share) <= 1:
                return Block(int(size), float(share), rank)
            case ["topk", pattern, rank] | [pattern, rank]:
                kept, group = (int(part) for part in pattern.split(":"))
                if 1 <= kept <= group:
                    return TopK(kept, group, rank) if words[0] == "topk" else NM(kept, group, rank)
    except ValueError:
        pass
    rule = (
        "sparsity is `n:m rank` (1 <= n <= m), `topk k:of rank`, `block size share rank` or `density share`"
    )
    raise SpecError(f"{path}.sparse", rule, got=text, where=where)


def _read_initial(text: str, line: Line, draft: Draft, parameters: Mapping[str, float]) -> None:
    name, _, value = (part.strip() for part in text.partition("="))
    scope = _scope(draft, parameters, Line(line.where, ""), f"initial.{name}")
    found = syntax.expression(syntax.tree(value, scope), scope) if value else None
    if not isinstance(found, Literal):
        raise scope.error("is written `initial RM = -inf`", text)
    draft.initial[name], draft.size_where[f"initial {name}"] = found.value, line.where


def _scope(draft: Draft, parameters: Mapping[str, float], line: Line, path: str) -> Scope:
    return Scope(
        sizes=draft.sizes, partitions=draft.partitions, parameters=parameters, definitions={},
        where=line.where, path=path,
    )  # fmt: skip


def resolve(draft: Draft, parameters: Mapping[str, float], source: str = "") -> Cascade:
    """The draft as a checked cascade."""
    padding = settle_partitions(draft.sizes, draft.partitions, draft.size_where, source)
    draft.sizes = _in_order(draft)
    clash = [name for name in parameters if name in draft.sizes]
    if clash:
        where = draft.size_where.get(clash[0], source)
        raise SpecError(f"ranks.{clash[0]}", "is a parameter too; rename one of them", where=where)
    definitions = {}
    for line in [*(Line("", f"{head} = {body}") for head, body in DEFINED.items()), *draft.definitions]:
        scope = _scope(draft, parameters, line, "ops")
        found = _DEFINE.fullmatch(line.text)
        if not found:
            raise scope.error("an operator is written def clip(x) = min(x, 6)", line.text)
        arguments = tuple(part.strip() for part in found[2].split(",") if part.strip())
        definitions[found[1]] = (arguments, syntax.tree(found[3], scope))
    heads = [_head(line) for line in draft.einsums]
    scalars = frozenset(head for head in heads if head.isidentifier()) | frozenset(
        name for name, declared in draft.tensors.items() if declared.ranks == ()
    )
    base = msgspec.structs.replace(
        _scope(draft, parameters, Line("", ""), ""), definitions=definitions, scalars=scalars
    )
    einsums: list[Einsum] = []
    places: dict[str, str] = {}
    for line, head in zip(draft.einsums, heads, strict=True):
        name = head.split("[")[0].strip()
        scope = msgspec.structs.replace(base, where=line.where, path=f"einsums.{name}")
        if name in places:
            raise scope.error(f"tensor '{name}' is written twice", hint=f"first in {places[name]}")
        einsums.append(_einsum(line.text, scope))
        places[name] = line.where
    if not einsums:
        raise SpecError("einsums", "a cascade needs at least one Einsum", where=source)
    bounds: list[Bound | SameBlock] = []
    for line in draft.where:
        scope = msgspec.structs.replace(base, where=line.where, path="where")
        bounds += syntax.bounds(syntax.tree(line.text, scope), scope)
    bounds += [bound for bound in padding if bound not in bounds]
    sizes, partitions = draft.sizes, tuple(draft.partitions.values())
    wanted = {n: (d.ranks, d.bits, d.sparsity, d.where) for n, d in draft.tensors.items()}
    tensors: tuple[Tensor, ...] = declared_tensors(
        einsums, sizes=sizes, partitions=partitions, wanted=wanted, places=places, pruned=_pruned(einsums)
    )
    cascade = Cascade(
        draft.name, tuple(Rank(*item) for item in sizes.items()), tensors, tuple(einsums),
        tuple(bounds), draft.initial, source, partitions, tuple(draft.outputs),
    )  # fmt: skip
    _check_outputs(cascade, draft.outputs)
    return checked(cascade, places, draft.size_where)


def _check_outputs(cascade: Cascade, outputs: Mapping[str, str]) -> None:
    made = [einsum.name for einsum in cascade.einsums]
    for name, where in outputs.items():
        if name not in made:
            given = any(tensor.name == name for tensor in cascade.inputs)
            rule = "is an input, which no Einsum writes" if given else "no Einsum writes it"
            raise SpecError(f"outputs.{name}", rule, where=where, hint="" if given else near(name, made))


def _in_order(draft: Draft) -> dict[str, int]:
    """Sizes with the parts of a partitioned rank right after it, outermost first."""
    parts = {part for partition in draft.partitions.values() for part in partition.into}
    order = [rank for rank in draft.sizes if rank not in parts]
    for rank, partition in draft.partitions.items():
        order[order.index(rank) + 1 : order.index(rank) + 1] = partition.into
    return {rank: draft.sizes[rank] for rank in order}


def _head(line: Line) -> str:
    return _ASSIGN.split(line.text, maxsplit=1)[0].strip()


def _pruned(einsums: list[Einsum]) -> dict[str, Sparsity]:
    """N:M sparsity of tensors that a pruning writes."""
    found: dict[str, Sparsity] = {}
    for einsum in einsums:
        parts = prune_parts(getattr(einsum.expr, "op", ""))
        if parts:
            found[einsum.name] = NM(*parts)
    return found


def _einsum(text: str, scope: Scope) -> Einsum:
    sides = _ASSIGN.split(text, maxsplit=1)
    if len(sides) != 2:
        kinds = ("cascade", "rank", "tensor", "initial", "where", "output", "def")
        hint = near(text.split(maxsplit=1)[0], kinds)
        raise msgspec.structs.replace(scope, path="einsums").error(
            "an Einsum is written Z[m] = ...", text, hint
        )
    output = syntax.access(syntax.tree(sides[0], scope), scope)
    reduce, named, inner = syntax.reduction(syntax.tree(sides[1], scope), scope)
    expr = syntax.expression(inner, scope)
    missing = tuple(rank for rank in expression_ranks(expr) if rank not in output.ranks)
    if reduce is None:
        _check_prune(expr, output, missing, scope)
        return Einsum(output, expr, "sum" if missing else None, missing)
    both = [rank for rank in named if rank in output.ranks]
    if both:
        raise scope.error(
            f"reduced rank '{both[0]}' is on the left too", hint="remove it from one of the sides"
        )
    left_over = [rank for rank in missing if rank not in named]
    if left_over:
        raise scope.error(
            f"rank '{left_over[0]}' is on the right only and {reduce}[{','.join(named)}] doesn't reduce it",
            hint=f"write {reduce}[{','.join((*named, *left_over))}](...), or put it on the left",
        )
    _check_prune(expr, output, named, scope)
    return Einsum(output, expr, reduce, named)


def _check_prune(expr: Expr, output: Access, reduced: tuple[str, ...], scope: Scope) -> None:
    for node in nodes(expr):
        parts = prune_parts(getattr(node, "op", ""))
        if parts is None:
            continue
        alone = node is expr and not reduced and isinstance(expr, Apply) and isinstance(expr.args[0], Access)
        if not alone:
            raise scope.error("pruning stands alone: Wp[i,o] = prune[2:4,i](W[i,o])")
        if parts[2] not in {index.plain for index in output.indices}:
            raise scope.error(f"pruned rank '{parts[2]}' must be a dimension of the result")
