"""Parts of `tools/bench/light.py`."""
