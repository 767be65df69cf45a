"""Summaries over shards: made of sums and of a few samples of each range of rows, never of all vectors at once."""
