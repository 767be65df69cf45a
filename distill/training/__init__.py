"""The training run: its settings, what it learns from, the loop, its directory, and scoring what it learned."""
