"""One file a kernel family, as data: its variants, and what its blocks load, compute and hold."""
