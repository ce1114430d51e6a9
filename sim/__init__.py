"""Cycle-level simulation: the event engine, exact array models and DRAM timing."""
