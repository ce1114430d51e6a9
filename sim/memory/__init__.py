"""Memories of the event engine that are more than ideal pipes: DRAM that follows a standard."""
