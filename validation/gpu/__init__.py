"""GPU truth: kernels with their mapping as data, the capture that times them, and the committed captures."""
