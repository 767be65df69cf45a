"""From a run to the line: one ONNX file that says what a picture is, and who else may be asked. PyTorch only to export."""
