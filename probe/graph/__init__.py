"""An ONNX file as a data-flow graph: operators, layers, measured shapes, channel axes."""
