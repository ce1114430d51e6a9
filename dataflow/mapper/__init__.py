"""The mapper: a stated space of mappings, a fast exact model of it, and a search that proves its answer."""
