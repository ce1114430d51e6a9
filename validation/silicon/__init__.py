"""Chips that others measured: their figures, which of them may be fitted on, and how well einsim predicts."""
