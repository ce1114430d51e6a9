"""Files of other tools as machines and workloads of ours, with what could not be carried over."""
