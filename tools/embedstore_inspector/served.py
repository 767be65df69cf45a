"""What the routes share, and how they read a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request

from embedstore.analysis.suggestions import StudentScores
from embedstore.pages import Text
from embedstore.store.embedding_store import EmbeddingStore
from embedstore_inspector.boards import Board, Boards
from embedstore_inspector.eye import Eye
from embedstore_inspector.pictures import Pictures
from embedstore_inspector.refusals import RefusedError


@dataclass(frozen=True)
class Served:
    """A store that is served.

    Attributes:
        boards: what is told of its versions.
        pictures: small copies of its pictures.
        eye: the store's teacher, loaded when it is first needed.
    """

    boards: Boards
    pictures: Pictures
    eye: Eye = field(default_factory=Eye)

    def board(self, request: Request) -> Board:
        """Return the board of the version that the page shows, which each address names as `v`, and its store as `key`.

        Raises:
            RefusedError: another version or store is served.
        """
        return self.boards.at(request.query_params.get("v", ""), request.query_params.get("key"))


def make_served(path: Path, against: str | None, student: StudentScores | None, images: Path | None) -> Served:
    """Open a store to be served; see `app.make_app`."""
    boards = Boards(path, against, student)
    return Served(boards, Pictures(images))


def position_of(board: Board, sample_id: str) -> int:
    """Return the position of a sample.

    Raises:
        RefusedError: there is none of that id.
    """
    try:
        position = int(board.store.find([sample_id])[0])
    except UnicodeEncodeError:  # half a character
        position = -1
    if position < 0:
        raise RefusedError(
            404,
            Text(
                f"The store has no sample '{sample_id}'; choose one on the map.",
                f"ストアに「{sample_id}」という画像はありません。マップから選んでください。",
            ),
        )
    return position


def whole_number(request: Request, name: str, low: int, high: int, default: int | None = None) -> int:
    """Return a number of the address.

    Raises:
        RefusedError: it is no whole number from low to high.
    """
    text = request.query_params.get(name, "" if default is None else str(default))
    if text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high:
        return int(text)
    raise RefusedError(
        400,
        Text(
            f"'{name}' is '{text}'; give a whole number from {low} to {high}.",
            f"「{name}」の値「{text}」は使えません。{low} から {high} までの整数を指定してください。",
        ),
    )


def thumbnail_address(store: EmbeddingStore, position: int, sample_id: str, side: int) -> str:
    """Return where the page fetches a small copy; the address changes with the picture, so that it can be kept for good."""
    return f"/thumbnail?id={quote(sample_id, safe='')}&c={store.content_at(position).hex()}&side={side}"


def sample_link(sample_id: str) -> str:
    """Return the address of a sample on the page."""
    return f"#sample={quote(sample_id, safe='')}"
