"""One file a kernel family: variants and sizes as data (`cases`), and how to run one on a GPU (`bind`)."""
