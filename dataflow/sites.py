"""Where each node of a mapping was written, so that a broken rule names its line."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from einsim.dataflow.mapping import Compute, Keep, Loop, Node, Pipeline
from einsim.specs.errors import MISSING, SpecError

Place = tuple[int, ...]
"""Child positions from the root of the tree; the root is ()."""

DEEPEST = 100
"""Nodes inside one another that a mapping may have; the templates make fewer than thirty."""


class Sites(msgspec.Struct, frozen=True, kw_only=True):
    """Lines by node and key: `lines[place, "tile"]`, and `lines[place, ""]` for the node as a whole."""

    lines: Mapping[tuple[Place, str], str] = {}

    def where(self, place: Place, key: str = "") -> str:
        """`file.yaml:12` of a key of a node, of the node where the key has none, or nothing."""
        return self.lines.get((place, key)) or self.lines.get((place, ""), "")

    def error(
        self, place: Place, node: Node, key: str, rule: str, *, got: object = MISSING, hint: str = ""
    ) -> SpecError:
        """A SpecError at a key of a node; `key` "" means the node itself."""
        path = f"mapping.{label(node)}" + (f".{key}" if key else "")
        return SpecError(path, rule, got=got, where=self.where(place, key), hint=hint)


NOWHERE = Sites()
"""For mappings that no file holds."""


def label(node: Node) -> str:
    """A node in two words: `for m`, `keep K`, `compute QK`, `pipeline`."""
    if isinstance(node, Loop):
        return f"for {node.rank}"
    if isinstance(node, Keep):
        return f"keep {' '.join(node.tensors)}"
    if isinstance(node, Compute):
        return f"compute {node.einsum}"
    return "pipeline" if isinstance(node, Pipeline) else "sequence"
