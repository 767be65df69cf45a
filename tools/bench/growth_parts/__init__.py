"""Parts of `growth.py`: the vectors, the steps, the child that runs one, the fit."""
