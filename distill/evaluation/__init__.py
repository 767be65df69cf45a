"""Figures: metrics, thresholds, escape and overkill, intervals over parts. NumPy only; the report is plain values."""
