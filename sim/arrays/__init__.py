"""Exact array models: closed-form cycles, and cycle-stepped models that move operands as RTL does."""
