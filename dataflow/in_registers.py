"""Which leaves may find tensors in the registers of their unit: all that make or read one lay it alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from einsim.accel.machine import Machine
from einsim.dataflow.footprint import uses
from einsim.dataflow.mapping import Compute
from einsim.dataflow.spatial import Layouts, Spread, differs_by_pe, spread
from einsim.workloads.cascade import Cascade, Einsum


class InRegisters:
    """Of Einsums each of which may be at one of several `nodes`, those that go together when a tensor goes
    into registers. With "full" layouts what `differs_by_pe` has to be there.
    """

    def __init__(
        self, cascade: Cascade, machine: Machine, nodes: Callable[[str], Sequence[Compute]],
        layouts: Layouts = "full",
    ) -> None:  # fmt: skip
        self.cascade, self.machine, self.nodes, self.layouts = cascade, machine, nodes, layouts
        self.made = dict.fromkeys(einsum.name for einsum in cascade.einsums)
        self.users = {
            tensor.name: [e for e in cascade.einsums if uses(e, tensor.name)] for tensor in cascade.tensors
        }
        self._spreads: dict[tuple[object, ...], Spread] = {}
        self.laid = cache(self._laid)

    def spread(self, node: Compute, tensor: str) -> Spread:
        """`einsim.dataflow.spatial.spread`, once for each layout."""
        key = node.einsum, node.unit, tuple(node.spatial.items()), tensor
        if key not in self._spreads:
            self._spreads[key] = spread(self.cascade, node, tensor)
        return self._spreads[key]

    def needed(self, einsum: Einsum, node: Compute) -> list[str]:
        """Operands that a leaf must find in its unit's registers."""
        if self.layouts != "full":
            return []
        return [*differs_by_pe(self.cascade, self.machine.unit(node.unit), einsum, node)]

    def together(self, node: Compute, tensor: str | None) -> tuple[dict[str, Compute], set[str]] | None:
        """Leaves that go with one that finds or leaves a tensor in registers (None: what it needs there), and
        the tensors that are there then; None where these don't agree.
        """
        chosen, registers, waiting = {node.einsum: node}, set[str](), [(node, tensor)]
        while waiting:
            node, asked = waiting.pop()
            needed = self.needed(self.cascade.einsum(node.einsum), node)
            if any(name not in self.made for name in needed):
                return None  # an input
            for shared in (*([asked] if asked else ()), *needed):
                if shared in registers:
                    continue
                registers.add(shared)
                if self.machine.unit(node.unit).registers is None:
                    return None
                how = self.spread(node, shared)
                for user in self.users[shared]:
                    if user.name in chosen:
                        if self.spread(chosen[user.name], shared) != how:
                            return None
                        continue
                    alike = self.laid(user.name, shared).get(how)
                    if alike is None:
                        return None
                    chosen[user.name] = alike
                    waiting.append((alike, None))
        return chosen, registers

    def _laid(self, einsum: str, tensor: str) -> dict[Spread, Compute]:
        """The first of an Einsum's nodes that lays a tensor over its unit in each way."""
        return {self.spread(node, tensor): node for node in reversed(self.nodes(einsum))}
