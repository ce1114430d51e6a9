"""What the fields of a struct mean: the string below each in its class, as documentation tools read it."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise


def descriptions(struct: type) -> dict[str, str]:
    """Field name -> the text below it, of a class and of those that it inherits from."""
    found: dict[str, str] = {}
    for owner in reversed(struct.__mro__):
        found |= _of_module(owner.__module__).get(owner.__qualname__, {})
    return found


@cache
def _of_module(name: str) -> dict[str, dict[str, str]]:
    """The texts of every class at a module's top; nothing of a module without a file, such as a prompt."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (KeyError, OSError, TypeError):
        return {}
    return {node.name: _below_fields(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _below_fields(owner: ast.ClassDef) -> dict[str, str]:
    texts: dict[str, str] = {}
    for field, below in pairwise(owner.body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts[field.target.id] = " ".join(str(below.value.value).split())
    return texts
