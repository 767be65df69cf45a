"""What verbs that change samples share: one version for all, a trial without any, and what is said at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from embedstore import EmbeddingStore
from embedstore.store.changes import StoreWriter


class _TrialError(Exception):
    """Ends a change that only tells what it would do."""


@contextmanager
def change(store: EmbeddingStore, action: str, *, dry_run: bool) -> Iterator[StoreWriter]:
    """Change a store as one version; with `dry_run` all checks are made and all is taken back."""
    try:
        with store.write(action) as writer:
            yield writer
            if dry_run:
                raise _TrialError
    except _TrialError:
        pass


COMPACTED = (
    "The store was compacted by itself, since more than half of its rows were of no use; which earlier versions can still be "
    "opened is told by: embedstore log"
)
