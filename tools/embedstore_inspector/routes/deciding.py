"""Triage and undo: what people decide at the page goes back into the store; suggestions of what to decide on."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import embedstore
from embedstore.analysis.suggestions import Suggestion, Suggestions
from embedstore.pages import Text
from embedstore.triage import last_undoable, plan_undo
from embedstore_inspector import decisions, history
from embedstore_inspector.boards import Board
from embedstore_inspector.refusals import RefusedError, in_both, json_response
from embedstore_inspector.routes.searching import received
from embedstore_inspector.served import Served, whole_number

MOST_VERSION = 10**11 - 1


def routes(served: Served) -> list[Route]:
    """Return the routes. Those that write, and the log, are of the store's newest version, whatever the page shows."""
    path = served.boards.path

    async def triage(request: Request) -> Response:
        given = decisions.read_decisions(await received(request, decisions.MOST_BYTES))

        def saved() -> Response:
            change = decisions.save(path, request.query_params.get("key", ""), given)
            return _written(served, change.version, change.samples)

        return await run_in_threadpool(saved)

    def log(request: Request) -> Response:
        with embedstore.open(path) as store:
            versions = store.log()[::-1]
            return json_response(
                {
                    "version": store.version,
                    "last": last_undoable(store),
                    "count": len(versions),
                    "versions": [
                        history.told(one, before)
                        for one, before in zip(versions[: history.MOST], [*versions[1:], None], strict=False)
                    ],
                }
            )

    def plan(request: Request) -> Response:
        number = whole_number(request, "number", 0, MOST_VERSION)
        with embedstore.open(path) as store:
            return json_response(history.planned(store, number, plan_undo(store, number)))

    async def take_back(request: Request) -> Response:
        number = decisions.read_object(await received(request, decisions.MOST_BYTES)).get("number")
        if type(number) is not int or not 0 <= number <= MOST_VERSION:
            raise RefusedError(
                400,
                Text(
                    "What was sent names no version; load the page again.",
                    "バージョンが指定されていません。ページを再読み込みしてください。",
                ),
            )

        def undone() -> Response:
            change = decisions.take_back(path, request.query_params.get("key", ""), number)
            return _written(served, change.version, change.samples)

        return await run_in_threadpool(undone)

    async def suggestions(request: Request) -> Response:
        board = served.board(request)
        found = await board.suggestions.awaited()
        return await run_in_threadpool(lambda: json_response(suggested(board, found)))

    return [
        Route("/api/triage", triage, methods=["POST"]),
        Route("/api/log", log),
        Route("/api/undo", plan, methods=["GET"]),
        Route("/api/undo", take_back, methods=["POST"]),
        Route("/api/suggestions", suggestions),
    ]


def _written(served: Served, version: int | None, samples: int) -> Response:
    """Return what was written; where nothing differed, no version was made, and `made` is null."""
    newest = served.boards.on_disk()[1] if version is None else version
    return json_response({"version": newest, "made": version, "samples": samples})


def suggested(board: Board, found: Suggestions) -> dict[str, Any]:
    """Return suggestions as the page shows them."""
    return {
        "version": board.version,
        "kinds": [
            {
                "kind": kind,
                "suggestions": [_suggestion(board, one) for one in listed],
                "remarks": [in_both(remark) for remark in found.remarks[kind]],
            }
            for kind, listed in found.by_kind.items()
        ],
    }


def _suggestion(board: Board, one: Suggestion) -> dict[str, Any]:
    return {
        "at": board.store.positions(list(one.ids)).tolist(),
        "reason": in_both(one.reason),
        "verdicts": [
            {"id": sample_id, "kind": said.kind, "value": said.value} for sample_id, said in one.verdicts.items()
        ],
    }
