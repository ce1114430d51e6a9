"""Machines: generic units and memories, and the families that derive them from architects' parameters."""
