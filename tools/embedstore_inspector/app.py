"""The application: routes behind the guard."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from embedstore.analysis.suggestions import StudentScores
from embedstore.errors import EmbedstoreError
from embedstore_inspector.refusals import refuse
from embedstore_inspector.routes import deciding, points, searching, showing
from embedstore_inspector.security import Access, Guard
from embedstore_inspector.served import make_served


def make_app(
    store: str | os.PathLike[str],
    *,
    access: Access | None = None,
    against: str | None = None,
    student: StudentScores | None = None,
    images: str | os.PathLike[str] | None = None,
) -> Starlette:
    """Return the live page of a store.

    Args:
        store: its path.
        access: whom it answers; only this machine where not given.
        against: the saved summary to compare with; where not given one is made, as `find_odd` does.
        student: what a run's student says of the samples that it was kept from.
        images: the folder of the pictures, where they are no longer where the store remembers them.

    Raises:
        NotAStoreError: there is no store.
        SummaryError: it has no summary of that name, or one that is no comparison; see `Boards`.
    """
    allowed = access or Access()
    served = make_served(Path(store), against, student, None if images is None else Path(images))
    return Starlette(
        routes=[
            *showing.routes(served, allowed),
            *points.routes(served),
            *searching.routes(served),
            *deciding.routes(served),
        ],
        middleware=[Middleware(Guard, access=allowed)],
        exception_handlers=dict.fromkeys((EmbedstoreError, HTTPException), refuse),
    )
