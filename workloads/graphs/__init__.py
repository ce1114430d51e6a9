"""Networks as graphs of operators: convolutional ones, and whatever an ONNX file holds."""
