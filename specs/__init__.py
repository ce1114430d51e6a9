"""Strict specifications: errors that say where and why, units, and the safe YAML loader."""
