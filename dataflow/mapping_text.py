"""The compact text form of a mapping: one line a node, two spaces a level."""

from __future__ import annotations

from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, Pipeline


def mapping_text(mapping: Mapping) -> str:
    """The mapping as text, for example

    for b/1
      keep K V in gb x2
        pipeline
          QK on array2d rows=m0 cols=p
    """
    lines = [f"{mapping.cascade} on {mapping.machine} ({mapping.template})"]
    _lines(mapping.tree, 0, lines)
    return "\n".join(lines)


def _lines(node: Node, depth: int, lines: list[str]) -> None:
    pad = "  " * depth
    if isinstance(node, Loop):
        lines.append(f"{pad}for {node.rank}/{node.tile}")
        _lines(node.body, depth + 1, lines)
    elif isinstance(node, Keep):
        text = f"{pad}keep {' '.join(node.tensors)} in {node.memory} x{node.buffers}"
        text += " overlay" if node.overlay else ""
        text += f" spill={node.spill!r}" if node.spill else ""
        text += f" stays={','.join(node.stays)}" if node.stays else ""
        lines.append(text)
        _lines(node.body, depth + 1, lines)
    elif isinstance(node, Compute):
        lines.append(pad + compute_text(node))
    else:
        lines.append(pad + ("pipeline" if isinstance(node, Pipeline) else "sequence"))
        for child in node.children:
            _lines(child, depth + 1, lines)


def compute_text(node: Compute) -> str:
    """One leaf: the Einsum, its unit, what lies along the unit's dimensions, operands taken in passing."""
    text = f"{node.einsum} on {node.unit}"
    text += "".join(f" {dim}={'*'.join(ranks)}" for dim, ranks in node.spatial.items())
    text += f" chained={','.join(node.chained)}" if node.chained else ""
    return text if node.stationarity == "output-stationary" else f"{text} {node.stationarity}"
