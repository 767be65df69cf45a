"""Looking into a store: search."""
