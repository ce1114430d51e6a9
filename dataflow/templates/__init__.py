"""Named mapping templates: `build_mapping` picks loops, tiles and units by rule."""
