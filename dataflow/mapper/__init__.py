"""The mapper: a stated space of mappings, a fast exact model of it, and a search that proves its answer."""

from einsim.dataflow.mapper.best import Answer, best_mapping
from einsim.dataflow.mapper.space import MapSpace

__all__ = ["Answer", "MapSpace", "best_mapping"]
