"""Search: by words of a name or field, by a sample, by a picture that is sent, by a text that the teacher reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from embedstore.analysis.odd_samples import Comparison
from embedstore.analysis.search import Hit
from embedstore.pages import Text
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.vectors import Vectors
from embedstore_inspector.boards import Board
from embedstore_inspector.refusals import RefusedError, json_response
from embedstore_inspector.served import Served, position_of, whole_number

MOST_BYTES = 32 << 20  # of a picture that is sent
MOST_TEXT = 1_000  # bytes
LONGEST = 60  # seconds that a request may take to come in: 32 MiB at 4.5 Mbit/s
NEAREST, FOUND = 60, 5_000

_TOO_SLOW = Text(
    "What was sent did not come in within a minute; try again, or send something smaller.",
    "送信が 1 分以内に終わりませんでした。もう一度試すか、小さくしてから送ってください。",
)


def routes(served: Served) -> list[Route]:
    """Return the routes."""

    def find(request: Request) -> Response:
        board, text = served.board(request), request.query_params.get("text", "")
        if len(text.encode("utf-8", "replace")) > MOST_TEXT:
            raise _too_long(MOST_TEXT)
        positions = matching(board.store, text)
        return json_response(
            {"version": board.version, "count": len(positions), "positions": positions[:FOUND].tolist()}
        )

    def like(request: Request) -> Response:
        board = served.board(request)
        sample_id = request.query_params.get("id", "")
        position_of(board, sample_id)
        return _hits(board, board.store.query(id=sample_id, top=NEAREST))

    async def members(request: Request) -> Response:
        board = served.board(request)

        def told(found: Comparison) -> Response:
            prototype = whole_number(request, "prototype", 0, len(found.summary.labels) - 1)
            places = np.flatnonzero(found.distances.member_of == prototype)
            places = places[np.argsort(found.distances.member_distance[places], kind="stable")]
            return json_response({"version": board.version, "positions": found.samples.positions[places].tolist()})

        return await board.compared_with(told)

    async def picture(request: Request) -> Response:
        board = served.board(request)
        data = await received(request, MOST_BYTES)
        return await near(board, lambda: served.eye.picture(board.store, data))

    async def text(request: Request) -> Response:
        board = served.board(request)
        words = (await received(request, MOST_TEXT)).decode("utf-8", "replace")
        return await near(board, lambda: served.eye.text(board.store, words))

    async def near(board: Board, look: Callable[[], Vectors]) -> Response:
        vectors = await served.eye.look(look)
        return await run_in_threadpool(lambda: _hits(board, board.store.search(vectors, top=NEAREST)[0]))

    return [
        Route("/api/find", find),
        Route("/api/like", like),
        Route("/api/members", members),
        Route("/api/search/picture", picture, methods=["POST"]),
        Route("/api/search/text", text, methods=["POST"]),
    ]


async def received(request: Request, most: int) -> bytes:
    """Return the body of a request, given up as soon as it is too long, or takes too long.

    Raises:
        RefusedError: it has more bytes, or says so, or has not come in within a minute.
    """
    data = bytearray()
    said = request.headers.get("content-length", "0")
    if said.isascii() and said.isdigit() and int(said) > most:
        raise _too_long(most)
    try:
        with anyio.fail_after(LONGEST):
            async for part in request.stream():
                if len(data) + len(part) > most:
                    raise _too_long(most)
                data += part
    except TimeoutError as error:
        raise RefusedError(408, _TOO_SLOW) from error
    return bytes(data)


def matching(store: EmbeddingStore, text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the positions (m,) of samples whose id, label, mode, group, split or attribute contains a text, whatever its case.

    Each word must be found, in one place or another.
    """
    passing = np.ones(len(store), bool)
    fields = [store.text_field(name) for name in store.field_names if not name.startswith("said:")]
    folded = [[one.casefold() for one in field.texts] for field in fields]
    for word in dict.fromkeys(text.casefold().split()):
        found = np.zeros(len(store), bool)
        for field, texts in zip(fields, folded, strict=True):
            hit = np.array([word in one for one in texts] + [False], bool)
            found |= hit[field.codes]
        passing &= found
        if not passing.any():
            break
    return np.flatnonzero(passing)


def _hits(board: Board, hits: list[Hit]) -> Response:
    positions = board.store.positions([hit.id for hit in hits]).tolist()
    return json_response(
        {
            "version": board.version,
            "hits": [{"at": at, "similarity": hit.similarity} for at, hit in zip(positions, hits, strict=True)],
        }
    )


def _too_long(most: int) -> RefusedError:
    written = f"{most >> 20} MiB" if most >= 1 << 20 else f"{most} bytes"
    return RefusedError(
        413,
        Text(
            f"What was sent has more than {written}; send something smaller.",
            f"送信されたデータが上限（{written}）を超えています。小さくしてから送ってください。",
        ),
    )
