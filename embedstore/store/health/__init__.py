"""What is wrong with a store, and what can be mended without the teacher: `verification.verify` and `repair.repair`.

Everything that reads what may be damaged runs in a process of its own (`isolation`), which may die of it.
"""
