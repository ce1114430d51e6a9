"""YAML of other tools as plain data: tags become a key, arithmetic is worked out, templates are filled."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from einsim.specs.errors import SpecError
from einsim.specs.files import read_text
from einsim.specs.yaml_reader import LARGEST_BYTES

TAG = "!"
"""The key that holds a mapping's tag, as Memory of `!Memory`."""
_MOST_VALUES = 50_000
_MOST_ALIASES = 200
_SET = re.compile(r"\{%-?\s*set\s+(\w+)\s*=\s*(?:\1\s*\|\s*default\(([^()]*)\)|([^%]*?))\s*-?%\}")
_USE = re.compile(r"\{\{-?\s*(\w+)\s*-?\}\}")


class _PlainLoader(yaml.SafeLoader):
    """Plain data only; a tag of any name is kept as text."""


def _tagged(loader: _PlainLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {TAG: suffix, **loader.construct_mapping(node, deep=True)}
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_PlainLoader.add_multi_constructor("!", _tagged)


def read_plain(path: Path) -> dict[str, Any]:
    """The mapping that a file holds. SpecError for what is none, is too large, or needs a template engine."""
    text = _filled(read_text(path, most=LARGEST_BYTES), str(path))
    try:
        events = [type(event) for event in yaml.parse(text, Loader=yaml.SafeLoader)]
        if len(events) > _MOST_VALUES or events.count(yaml.AliasEvent) > _MOST_ALIASES:
            rule = f"has more than {_MOST_VALUES} values or {_MOST_ALIASES} aliases"
            raise SpecError("", rule, where=str(path))
        data = yaml.load(text, Loader=_PlainLoader)  # noqa: S506  # a safe loader: it makes plain data only
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SpecError("", f"is not YAML: {error.problem}", where=f"{path}{line}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SpecError("", f"is not YAML: {str(error).splitlines()[0]}", where=str(path)) from None
    if not isinstance(data, dict):
        raise SpecError("", "must be a mapping", where=str(path))
    return data


def _filled(text: str, where: str) -> str:
    """Templates with their defaults: `{% set N = N | default(4) %}` and `{{N}}`, nothing else of Jinja."""
    values: dict[str, str] = {}

    def keep(found: re.Match[str]) -> str:
        values[found[1]] = (found[2] if found[2] is not None else found[3]).strip("\"' ")
        return ""

    text = _SET.sub(keep, text)
    text = _USE.sub(lambda found: values.get(found[1], found[0]), text)
    for at, line in enumerate(text.splitlines(), 1):
        if "{%" in line or "{{" in line:
            raise SpecError("", "is a template; give it filled in", got=line.strip(), where=f"{where}:{at}")
    return text


_OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


def number(value: object, names: Mapping[str, float] | None = None) -> float | None:
    """A number, or arithmetic of such in text; None for anything else. `names` may stand in it."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    text = str(value).strip()
    if len(text) > 200:
        return None
    try:
        return _value(ast.parse(text, mode="eval").body, {"inf": math.inf, **(names or {})})
    except (SyntaxError, ValueError, ArithmeticError, KeyError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr, names: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return names[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_value(left, names), _value(right, names))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            base, power = _value(left, names), _value(right, names)
            if abs(power) > 64:
                raise ValueError("too large")
            return float(base**power)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.Call(func=ast.Name(id="max" | "min" as name), args=args) if args:
            return (max if name == "max" else min)(_value(one, names) for one in args)
    raise ValueError("not arithmetic")
