"""Statements of blocks, of which the library's cascades and the layers of models are made."""
