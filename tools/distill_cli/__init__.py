"""The `distill` command, one file a verb."""
