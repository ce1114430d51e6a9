"""Whole models: networks as values, cascades of their parts, and readers of their configurations."""
