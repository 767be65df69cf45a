"""What `tools/bench/storage.py` is made of: the vectors, one module a system, the steps, the results, the picture."""
