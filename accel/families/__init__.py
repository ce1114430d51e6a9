"""Families: each derives a machine from the few parameters that its architects think in."""
