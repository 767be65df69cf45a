"""The `embedstore` command, one file a verb."""
