"""ONNX Runtime: sessions, what a model wants to be fed, the opened backbone, the cost of each tap."""
