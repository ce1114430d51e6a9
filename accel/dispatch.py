"""What it costs to start work: the host's and the sequencer's time before anything moves."""

from __future__ import annotations

from typing import Annotated

import msgspec

Cycles = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class Dispatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cycles of the machine's clock in which nothing else runs."""

    run_cycles: Cycles = 0
    """Once a run: the dispatch of the whole graph."""
    op_cycles: Cycles = 0
    """For each op, that is each child of a mapping's outermost sequence (the whole, where it has none)."""

    def cycles(self, ops: int) -> int:
        """Cycles of a run of so many ops."""
        return self.run_cycles + self.op_cycles * ops
