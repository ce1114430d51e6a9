"""Where an operation's producers must have been before an instance of it starts."""

from __future__ import annotations

from einsim.dataflow.iteration import Path
from einsim.dataflow.program import Wait


class Lookup:
    """Where the producer of a wait must have been, seen from an instance of the operation that waits."""

    def __init__(self, wait: Wait, mine: Path, theirs: Path) -> None:
        self.wait, self.mine, self.theirs = wait, mine, theirs
        self.targets = [
            (target.kind, mine.slots[target.loop] if target.kind == "same" else -1) for target in wait.targets
        ]
        self.lag_slot = mine.slots[wait.lag_loop] if wait.lag else -1
        self.ends_round = wait.ends_round
        counts = [loop.count for loop in theirs.loops]
        plan = [
            source if kind == "same" else -1 if kind == "first" else -counts[slot]
            for slot, (kind, source) in enumerate(self.targets)
        ]
        self._plan = None if theirs.bounded else plan  # own slot, or -1 less the iteration waited for

    def before(self, position: list[int]) -> list[int] | None:
        """Where it must have been before the instance at `position` starts; None: nothing to wait for."""
        base = position
        if self.ends_round:
            return self.theirs.floor([*position[: self.lag_slot], position[self.lag_slot] - 1])
        if self.wait.lag:
            base = list(position)
            if not self.mine.before(base, self.lag_slot, self.wait.lag, self.wait.borrow):
                return None
        return self.resolved(base)

    def resolved(self, base: list[int]) -> list[int] | None:
        """Where it stands when it is done with the tile at `base`, without lag."""
        if self._plan is not None:
            return [base[source] if source >= 0 else -1 - source for source in self._plan]
        found: list[int] = []
        for slot, (kind, source) in enumerate(self.targets):
            if kind == "same":
                found.append(base[source])
            else:
                first, stop = self.theirs.span(found, slot)
                found.append(first if kind == "first" else max(first, stop - 1))
        return self.theirs.floor(found)
