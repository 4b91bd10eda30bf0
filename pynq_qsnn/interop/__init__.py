"""Other frameworks' files: NIR in and out, quantized ONNX (QONNX) in. Needs the package nir, or onnx, when it runs."""
