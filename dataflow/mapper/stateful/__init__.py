"""The map space of a fused group that carries state from step to step, its model and its search."""

from einsim.dataflow.mapper.stateful.space import StatefulSpace

__all__ = ["StatefulSpace"]
