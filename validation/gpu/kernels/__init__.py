"""One file a kernel family: its variants and sizes as data (`cases`), and how to run one on a GPU (`bind`)."""
