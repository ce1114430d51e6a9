"""Named mapping templates: `build_mapping` turns a cascade and a machine into a mapping by rule."""

from einsim.dataflow.templates.registry import build_mapping, preferred_passes, template_names

__all__ = ["build_mapping", "preferred_passes", "template_names"]
