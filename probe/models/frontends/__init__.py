"""Front ends as ONNX nodes, for models that take spectrograms."""
