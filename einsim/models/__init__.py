"""Whole models judged: every part once, each as often as its phases take it."""
