"""Exact array models: closed-form cycles, and cycle-stepped functional models that move operands as RTL does."""
