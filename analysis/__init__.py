"""Numbers from arrays: which tap is best, by how much, and how sure that is.

Pure functions of arrays [rows, dims], labels and folds, written with numpy, SciPy and scikit-learn. No model, no audio
and no file format is known here; torch and onnx are never imported.
"""
