"""One file a kernel family: its numba and CUDA code, and how to run it on a GPU and check it (`bind`)."""
