"""The page itself, its parts, and pictures."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from embedstore.errors import PictureError, SummaryError
from embedstore.pages import Text
from embedstore.pages.markup import asset
from embedstore_inspector.cards import bare_card, prototypes_sheet, sample_card
from embedstore_inspector.pictures import SIDES
from embedstore_inspector.refusals import RefusedError, refused
from embedstore_inspector.security import Access
from embedstore_inspector.served import Served, position_of, whole_number
from embedstore_inspector.words import WORDS, in_both

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def routes(served: Served, access: Access) -> list[Route]:
    """Return the routes."""
    environment = Environment(
        loader=PackageLoader("embedstore_inspector"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assets = _assets()

    def page(request: Request) -> Response:
        store = served.boards.newest().store
        words = json.dumps(in_both()).replace("<", "\\u003c")
        return HTMLResponse(
            environment.get_template("page.html").render(
                name=store.path.resolve().name,
                words=WORDS,
                words_for_scripts=Markup(words),  # noqa: S704  our own, and no `<` in it
                write_token=access.write_token,
            )
        )

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in assets:
            raise RefusedError(404, Text(f"There is no file '{name}' here.", f"「{name}」というファイルはありません。"))
        return Response(assets[name], media_type=_TYPES[name.rpartition(".")[2]], headers={"Cache-Control": "no-cache"})

    async def sample(request: Request) -> Response:
        board = served.board(request)
        position = await run_in_threadpool(position_of, board, request.query_params.get("id", ""))
        try:
            return await board.compared_with(lambda found: fragment(sample_card(board, found, position)))
        except SummaryError as error:  # nothing to compare with is no reason not to show the picture
            why = refused(error).sentence
            return await run_in_threadpool(lambda: fragment(bare_card(board, position, why)))

    async def prototypes(request: Request) -> Response:
        board = served.board(request)
        return await board.compared_with(lambda found: fragment(prototypes_sheet(board, found)))

    def thumbnail(request: Request) -> Response:
        board, given = served.boards.current, request.query_params
        position, side = position_of(board, given.get("id", "")), whole_number(request, "side", *SIDES[::2])
        content = board.store.content_at(position).hex()
        if given.get("c") != content or side not in SIDES:
            raise RefusedError(
                404,
                Text(
                    "The store has another picture of this sample now; load the page again.",
                    "この画像はストア内で更新されました。ページを再読み込みしてください。",
                ),
            )
        known = any(bytes.fromhex(content))
        tag = f'"{content}-{side}"'
        keep = {"Cache-Control": "private, max-age=31536000, immutable", "ETag": tag} if known else {}
        if known and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=keep)
        try:
            copy = served.pictures.copy(board.store, position, side)
        except PictureError as error:
            raise RefusedError(
                404,
                Text(
                    f"The picture of '{given['id']}' can't be shown: it {error}.",
                    f"「{given['id']}」の画像を表示できません（{error}）。",
                ),
            ) from error
        return Response(copy.data, media_type="image/webp", headers=keep if copy.final else {})

    return [
        Route("/", page),
        Route("/static/{name}", static),
        Route("/card", sample),
        Route("/prototypes", prototypes),
        Route("/thumbnail", thumbnail),
    ]


def fragment(html: Markup) -> Response:
    """Return a part of the page; names may hold what no document can: half characters, and NUL."""
    return HTMLResponse(html.encode("utf-8", "replace").replace(b"\0", "\ufffd".encode()))


def _assets() -> dict[str, Any]:
    """Return all files that the page loads, by name, so that no path is ever made of what a request says."""
    own = {one.name: one.read_bytes() for one in (files("embedstore_inspector") / "static").iterdir() if one.is_file()}
    return {"page.css": asset("page.css").encode(), **own}
