"""GPUs as machines: the constants that a timing model of kernels needs, in YAML."""
