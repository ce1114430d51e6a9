"""What leaves a keep when an iteration of it ends: results, and what is still to be read or summed."""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np

from einsim.validation.oracle.points import Bools, Ints, Points, elements
from einsim.validation.oracle.store import Place
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Access


class Outgoing:
    """Of every result all that was written leaves; of a state the steps that are still to be read, each as a
    whole, and the last where it is a result. A step that the bounds leave out is the one before.
    """

    def __init__(
        self, cascade: Cascade, whole: Mapping[str, Points], standing: Mapping[str, Ints],
        total: Mapping[str, Ints], undone: Mapping[str, Ints],
    ) -> None:  # fmt: skip
        self.cascade, self.standing, self.total, self.undone = cascade, standing, total, undone
        self.step = {tensor.name: self._steps(tensor.name) for tensor in cascade.tensors}
        self.unread: dict[tuple[str, str], Ints] = {}  # by reader and tensor
        for einsum in cascade.einsums:
            for access in einsum.reads:
                pair, size = (einsum.name, access.tensor), len(standing[access.tensor])
                some = self.unread.setdefault(pair, np.zeros(size, dtype=np.int64))
                np.add.at(some, elements(cascade, access, whole[einsum.name]), 1)

    def read(self, einsum: Einsum, access: Access, points: Points) -> None:
        """Some points have read what they access."""
        element = elements(self.cascade, access, points)
        np.subtract.at(self.unread[einsum.name, access.tensor], element, 1)

    def last(self, tensor: str) -> Bools:
        """The last step of a state, all of any other tensor."""
        return np.asarray(self.step[tensor] == self.step[tensor].max())

    def wanted(self, place: Place, inside: Set[str]) -> Bools:
        """Elements that leave a place where they were written; Einsums inside find them there."""
        tensor = place.tensor
        producer, size = self.cascade.producer(tensor), len(self.standing[tensor])
        readers = {name for name, read in self.unread if read == tensor}
        result = self.cascade.is_output(tensor)
        if producer is None or ((readers - inside or result) and not producer.iterative):
            return np.ones(size, dtype=bool)
        here: Bools = np.any(place.fresh[:, self.standing[tensor]], axis=0)
        steps, found = self.step[tensor], np.zeros(size, dtype=bool)
        for reader in readers:
            unread = np.flatnonzero(self.unread[reader, tensor])
            found |= np.isin(steps, steps[unread[here[unread]] if reader in inside else unread])
        left = self.undone[tensor]
        found |= (left > 0) & (left < self.total[tensor])
        if result:
            found |= self.last(tensor)
        return np.isin(np.arange(size), self.standing[tensor][found])

    def _steps(self, tensor: str) -> Ints:
        """The number of each element's step: of what is no state one for all."""
        shape, producer = self.cascade.shape(tensor), self.cascade.producer(tensor)
        indices = producer.output.indices if producer is not None and producer.iterative else ()
        stepped = [axis for axis, index in enumerate(indices) if index.terms and index.offset == 1]
        found = np.zeros(shape, dtype=np.int64)
        for axis in stepped:
            found = found * shape[axis] + np.indices(shape)[axis]
        return found.reshape(-1)
