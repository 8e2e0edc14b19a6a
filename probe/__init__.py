"""Opens any frozen ONNX audio backbone at every block.

`graph` reads a file and gives its data flow, `blocks` finds the repeated units from structure alone, `surgery` makes
them outputs and proves that nothing else changed, `backbone` runs the result, `extract` and `sweep` carry recordings
through it. onnx and onnxruntime are imported nowhere else but here (and in `heads/fuse`).
"""
