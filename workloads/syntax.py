"""Python expression syntax, read with `ast` and never evaluated, to indices, bounds and expressions."""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Mapping
from itertools import islice

import msgspec

from einsim.specs.errors import MISSING, SpecError
from einsim.specs.near import near
from einsim.workloads.cascade import Bound, Partition, SameBlock
from einsim.workloads.expression import Access, Apply, Expr, Index, Literal, Term, nodes
from einsim.workloads.ops import IDENTITY, OPS, position_op, prune_op

_BINARY: dict[type[ast.operator], str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne",
}  # fmt: skip
_DEEPEST = 60
_LARGEST = 2000
"""Nodes of one expression once operators are expanded."""


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The names that a statement may use, and where it stands for its errors."""

    sizes: Mapping[str, int]
    partitions: Mapping[str, Partition]
    parameters: Mapping[str, float]
    definitions: Mapping[str, tuple[tuple[str, ...], ast.expr]]
    scalars: frozenset[str] = frozenset()
    where: str = ""
    path: str = ""

    def error(self, rule: str, got: object = MISSING, hint: str = "") -> SpecError:
        """A fault of this statement."""
        return SpecError(self.path, rule, got=got, where=self.where, hint=hint)

    def constant(self, name: str) -> float | None:
        """A parameter, or the size of the rank whose name in upper case this is."""
        if name in self.parameters:
            return self.parameters[name]
        sizes = {rank.upper(): size for rank, size in self.sizes.items() if rank.upper() not in self.sizes}
        return sizes.get(name)


def tree(text: str, scope: Scope) -> ast.expr:
    """The syntax tree of one expression; SpecError for anything that isn't one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)  # "2if" and the like: a slip, so a fault
            node = ast.parse(text.strip(), mode="eval").body
        _depth(node, scope, 0)
        return node
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise scope.error("is not an expression", text.strip()) from None


def _depth(node: ast.AST, scope: Scope, depth: int) -> None:
    if depth > _DEEPEST:
        raise scope.error(f"nests deeper than {_DEEPEST} levels", hint="give parts of it their own Einsum")
    for child in ast.iter_child_nodes(node):
        _depth(child, scope, depth + 1)


def whole(value: float) -> int | None:
    """The value as a whole number, None when it isn't one."""
    return int(value) if math.isfinite(value) and float(value).is_integer() else None


def index(node: ast.expr, scope: Scope) -> Index:
    """An affine index of ranks; a partitioned rank stands for its parts."""
    terms, offset = _affine(node, scope)
    kept = tuple(Term(coefficient, rank) for rank, coefficient in terms.items() if coefficient)
    return Index(kept, offset)


def _affine(node: ast.expr, scope: Scope) -> tuple[dict[str, int], int]:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return {}, value
        case ast.Name(id=name):
            return _named(name, scope)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _scaled(_affine(operand, scope), -1)
        case ast.BinOp(op=ast.Add() | ast.Sub() as op, left=left, right=right):
            terms, offset = _affine(left, scope)
            more, extra = _scaled(_affine(right, scope), -1 if isinstance(op, ast.Sub) else 1)
            return {
                r: terms.get(r, 0) + more.get(r, 0) for r in dict.fromkeys([*terms, *more])
            }, offset + extra
        case ast.BinOp(op=ast.Mult(), left=left, right=right):
            first, second = _affine(left, scope), _affine(right, scope)
            if not first[0]:
                return _scaled(second, first[1])
            if not second[0]:
                return _scaled(first, second[1])
    raise scope.error("an index is a sum of ranks, each times a whole number", ast.unparse(node))


def _scaled(affine: tuple[dict[str, int], int], factor: int) -> tuple[dict[str, int], int]:
    return {rank: value * factor for rank, value in affine[0].items()}, affine[1] * factor


def _named(name: str, scope: Scope) -> tuple[dict[str, int], int]:
    if name in scope.partitions:
        terms, stride = {}, 1
        for part in reversed(scope.partitions[name].into):
            if part not in scope.sizes:
                raise scope.error(f"'{name}' can't stand here, before the size of its part '{part}' is known")
            terms[part] = stride
            stride *= scope.sizes[part]
        return dict(reversed(terms.items())), 0
    if name in scope.sizes:
        return {name: 1}, 0
    value = scope.constant(name)
    if value is None:
        raise scope.error(f"unknown rank '{name}'", hint=near(name, [*scope.sizes, *scope.parameters]))
    number = whole(value)
    if number is None:
        raise scope.error(f"'{name}' in an index must be a whole number", value)
    return {}, number


def bounds(node: ast.expr, scope: Scope) -> tuple[Bound | SameBlock, ...]:
    """Bounds of a condition: index comparisons, `p // D == m // D`, `same[9,20](m, p)`, joined by `and`."""
    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            return tuple(bound for value in values for bound in bounds(value, scope))
        case ast.Call(func=ast.Subscript(value=ast.Name(id="same"), slice=lengths), args=[left, right]):
            return (SameBlock(index(left, scope), index(right, scope), _lengths(lengths, scope)),)
        case ast.Compare(
            ops=[ast.Eq()],
            left=ast.BinOp(op=ast.FloorDiv(), left=left, right=size),
            comparators=[ast.BinOp(op=ast.FloorDiv(), left=right, right=other)],
        ):
            lengths_left, lengths_right = _lengths(size, scope), _lengths(other, scope)
            if lengths_left != lengths_right:
                raise scope.error("both sides must be divided by the same length", ast.unparse(node))
            return (SameBlock(index(left, scope), index(right, scope), lengths_left),)
        case ast.Compare(left=first, ops=ops, comparators=rest):
            sides = [index(side, scope) for side in (first, *rest)]
            pairs = zip(sides, ops, sides[1:], strict=False)
            return tuple(
                bound for left, op, right in pairs for bound in _compared(left, op, right, node, scope)
            )
    raise scope.error("a bound compares indices, as in m <= p or p // 512 == m // 512", ast.unparse(node))


def _lengths(node: ast.expr, scope: Scope) -> tuple[int, ...]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    found = [index(part, scope) for part in parts]
    if any(length.terms or length.offset < 1 for length in found):
        raise scope.error("block lengths must be whole numbers >= 1", ast.unparse(node))
    return tuple(length.offset for length in found)


def _compared(left: Index, op: ast.cmpop, right: Index, node: ast.expr, scope: Scope) -> tuple[Bound, ...]:
    def before(smaller: Index, larger: Index, gap: int = 0) -> Bound:
        constant = smaller.offset + gap  # constants live on the side that keeps them positive
        return Bound(
            Index(smaller.terms, max(constant, 0)), Index(larger.terms, larger.offset - min(constant, 0))
        )

    match op:
        case ast.LtE():
            return (before(left, right),)
        case ast.Lt():
            return (before(left, right, 1),)
        case ast.GtE():
            return (before(right, left),)
        case ast.Gt():
            return (before(right, left, 1),)
        case ast.Eq():
            return before(left, right), before(right, left)
    raise scope.error("a bound uses <, <=, >, >= or ==", ast.unparse(node))


def access(node: ast.expr, scope: Scope) -> Access:
    """`T[i,j+1]`, or a bare name for a tensor without dimensions."""
    match node:
        case ast.Name(id=name):
            return Access(name, ())
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=parts)):
            return Access(name, tuple(index(part, scope) for part in parts))
        case ast.Subscript(value=ast.Name(id=name), slice=part):
            return Access(name, (index(part, scope),))
    raise scope.error("must be a tensor and its indices, as in QK[m,p]", ast.unparse(node))


def reduction(node: ast.expr, scope: Scope) -> tuple[str | None, tuple[str, ...], ast.expr]:
    """(reduce, ranks, inner expression) of `max[m](...)`; (None, (), node) when nothing is named."""
    match node:
        case ast.Call(func=ast.Subscript(value=ast.Name(id=name), slice=ranks), args=args) if name != "prune":
            if name not in IDENTITY:
                raise scope.error(f"unknown reduction '{name}'", hint=near(name, IDENTITY))
            if len(args) != 1:
                raise scope.error(f"{name}[...] reduces one expression", ast.unparse(node))
            parts = ranks.elts if isinstance(ranks, ast.Tuple) else [ranks]
            named = [rank for part in parts for rank in index(part, scope).ranks]
            return name, tuple(named), args[0]
    return None, (), node


def expression(node: ast.expr, scope: Scope, bound: Mapping[str, Expr] | None = None) -> Expr:
    """A scalar expression; `bound` gives the arguments inside a user-defined operator."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _literal(value, scope)
        case ast.Name(id=name):
            return _name(name, scope, bound or {})
        case ast.Subscript():
            return access(node, scope)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _apply("sub", (Literal(0.0), expression(operand, scope, bound)), scope)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return expression(operand, scope, bound)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(power))) if 1 <= power <= 8:
            base = expression(left, scope, bound)
            found = base
            for _ in range(power - 1):
                found = _apply("mul", (found, base), scope)
            return found
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            sides = (expression(left, scope, bound), expression(right, scope, bound))
            return _apply(_BINARY[type(op)], sides, scope)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            sides = (expression(left, scope, bound), expression(right, scope, bound))
            return _apply(_COMPARE[type(op)], sides, scope)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _apply(
                "select", tuple(expression(part, scope, bound) for part in (test, body, orelse)), scope
            )
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return _call(name, tuple(expression(argument, scope, bound) for argument in args), scope)
        case ast.Call(func=ast.Subscript(value=ast.Name(id="prune"), slice=pattern), args=[argument]):
            return Apply(_prune(pattern, scope), (expression(argument, scope, bound),))
        case ast.Call(func=ast.Subscript()):
            raise scope.error("a reduction must be outermost; give it its own Einsum", ast.unparse(node))
    raise scope.error("is not part of the Einsum notation", ast.unparse(node))


def _name(name: str, scope: Scope, bound: Mapping[str, Expr]) -> Expr:
    if name in bound:
        return bound[name]
    value = math.inf if name == "inf" else scope.constant(name)
    if name in scope.scalars:
        if value is not None:
            raise scope.error(f"'{name}' is both a tensor and a number here", hint="rename the tensor")
        return Access(name, ())
    if name in scope.partitions or name in scope.sizes:
        terms, _ = _named(name, scope)
        found: Expr | None = None
        for rank, stride in terms.items():
            at: Expr = Apply(position_op(rank), ())
            at = at if stride == 1 else _apply("mul", (at, Literal(float(stride))), scope)
            found = at if found is None else _apply("add", (found, at), scope)
        return found or Literal(0.0)
    if value is None:
        raise scope.error(f"unknown name '{name}'", hint=near(name, [*scope.scalars, *scope.sizes]))
    return Literal(float(value))


def _call(name: str, args: tuple[Expr, ...], scope: Scope) -> Expr:
    if name in scope.definitions:
        parameters, body = scope.definitions[name]
        if len(parameters) != len(args):
            raise scope.error(f"{name} takes {len(parameters)} arguments", len(args))
        inner = msgspec.structs.replace(
            scope, definitions={k: v for k, v in scope.definitions.items() if k != name}
        )
        return expression(body, inner, dict(zip(parameters, args, strict=True)))
    if name not in OPS:
        raise scope.error(f"unknown operator '{name}'", hint=near(name, [*OPS, *scope.definitions]))
    if name in ("max", "min") and len(args) > 2:
        return _apply(name, (_call(name, args[:-1], scope), args[-1]), scope)
    if len(args) != OPS[name].arity:
        raise scope.error(f"{name} takes {OPS[name].arity} argument{'s' * (OPS[name].arity > 1)}", len(args))
    return _apply(name, args, scope)


def _literal(value: int | float, scope: Scope) -> Literal:
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if math.isnan(number):
        raise scope.error("is a number out of range")
    return Literal(number)


def _apply(op: str, args: tuple[Expr, ...], scope: Scope) -> Expr:
    """The operator, or its value when add, sub, mul or div meets two constants."""
    match op, args:
        case "add", (Literal(a), Literal(b)):
            return _literal(a + b, scope)
        case "sub", (Literal(a), Literal(b)):
            return _literal(a - b, scope)
        case "mul", (Literal(a), Literal(b)):
            return _literal(a * b, scope)
        case "div", (Literal(a), Literal(b)) if b:
            return _literal(a / b, scope)
    found = Apply(op, args)
    if sum(1 for _ in islice(nodes(found), _LARGEST + 1)) > _LARGEST:
        raise scope.error(f"grows past {_LARGEST} terms once its operators are expanded")
    return found


def _prune(node: ast.expr, scope: Scope) -> str:
    match node:
        case ast.Tuple(
            elts=[ast.Slice(lower=ast.expr() as low, upper=ast.expr() as high, step=None), ast.Name(id=rank)]
        ):
            kept, group = index(low, scope), index(high, scope)
            if kept.terms or group.terms or not 1 <= kept.offset <= group.offset:
                raise scope.error("prune[n:m,rank] needs 1 <= n <= m", f"{kept.offset}:{group.offset}")
            if rank not in scope.sizes:
                raise scope.error(f"unknown rank '{rank}'", hint=near(rank, scope.sizes))
            return prune_op(kept.offset, group.offset, rank)
    raise scope.error("pruning is written prune[2:4,rank](W[...])", ast.unparse(node))
