"""What a GPU takes for a cascade: kernels as data, which of them realise it, their time and energy."""
