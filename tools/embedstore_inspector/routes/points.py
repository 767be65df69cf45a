"""The store as the map and the gallery read it: places, fields, oddness, and what is known of some samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from embedstore.analysis.odd_distances import percentiles
from embedstore.analysis.odd_samples import Comparison
from embedstore.analysis.odd_words import compared_with
from embedstore.analysis.suggestions import StudentScores
from embedstore.pages import Text
from embedstore.store.embedding_store import EmbeddingStore
from embedstore.store.fields import spelt
from embedstore.triage import VERDICT
from embedstore_inspector import maps
from embedstore_inspector.boards import FIELDS, Board
from embedstore_inspector.refusals import RefusedError, json_response
from embedstore_inspector.served import Served, position_of, thumbnail_address

AT_ONCE = 200  # samples told in one answer
ODDEST = 200  # listed of each label


def routes(served: Served) -> list[Route]:
    """Return the routes."""

    def store(request: Request) -> Response:
        return json_response(_store(served.boards.newest()))

    def state(request: Request) -> Response:
        board = served.boards.current
        done, total = board.compared
        key, newest = served.boards.on_disk()
        return json_response(
            {
                "key": key,
                "version": board.version,
                "newest": newest,
                "maps": _maps(board),
                "compared": done,
                "total": total,
            }
        )

    def places(request: Request) -> Response:
        board = served.board(request)
        return _binary(board, board.map(request.query_params.get("method", maps.PCA)))

    def codes(request: Request) -> Response:
        board, name = served.board(request), request.query_params.get("field", "")
        if name not in FIELDS:
            raise RefusedError(
                400,
                Text(
                    f"The field '{name}' is none of {', '.join(FIELDS)}; ask for one of these.",
                    f"「{name}」という項目はありません。{'、'.join(FIELDS)} のいずれかを指定してください。",
                ),
            )
        return _binary(board, (_fields(board)[name][1] + 1).astype("<u4").tobytes())

    def student(request: Request) -> Response:
        board = served.board(request)
        if board.student is None:
            raise RefusedError(
                404,
                Text(
                    "No run is served beside the store; start embedstore serve with --run.",
                    "学習結果が指定されていません。embedstore serve を --run 付きで起動してください。",
                ),
            )
        return _binary(board, student_errors(board.store, board.student).astype("<f4").tobytes())

    async def oddness(request: Request) -> Response:
        board = served.board(request)
        return await board.compared_with(lambda found: _binary(board, _oddness(board, found)))

    async def comparison(request: Request) -> Response:
        board = served.board(request)
        return await board.compared_with(lambda found: json_response(_comparison(board, found)))

    def samples(request: Request) -> Response:
        board = served.board(request)
        asked = request.query_params.get("at", "").split(",")
        if len(asked) > AT_ONCE or not all(
            one.isascii() and one.isdigit() and len(one) < 12 and int(one) < len(board.store) for one in asked
        ):
            raise RefusedError(
                400,
                Text(
                    f"'at' is no list of up to {AT_ONCE} positions below {len(board.store)}; load the page again.",
                    f"「at」には {len(board.store)} 未満の番号を {AT_ONCE} 個まで指定してください。"
                    "ページを再読み込みしてください。",
                ),
            )
        return json_response({"version": board.version, "samples": [told(board, int(one)) for one in asked]})

    def sample(request: Request) -> Response:
        board = served.board(request)
        return json_response(
            {"version": board.version, **told(board, position_of(board, request.query_params.get("id", "")))}
        )

    return [
        Route("/api/store", store),
        Route("/api/state", state),
        Route("/api/places", places),
        Route("/api/codes", codes),
        Route("/api/student", student),
        Route("/api/oddness", oddness),
        Route("/api/comparison", comparison),
        Route("/api/samples", samples),
        Route("/api/sample", sample),
    ]


def told(board: Board, position: int) -> dict[str, Any]:
    """Return what the gallery shows of a sample."""
    sample = board.store.sample_at(position)
    return {
        "at": position,
        "id": sample.id,
        "label": sample.label,
        "mode": sample.mode,
        "split": sample.split,
        "group": sample.group,
        VERDICT: sample.attributes.get(VERDICT),
        "picture": thumbnail_address(board.store, position, sample.id, 320),
        "large": thumbnail_address(board.store, position, sample.id, 1024),
    }


def _store(board: Board) -> dict[str, Any]:
    store = board.store
    return {
        "version": board.version,
        "key": board.key,
        "rows": board.rows,
        "name": store.path.resolve().name,
        "count": len(store),
        "teacher": store.teacher,
        "reads_text": store.teacher.startswith("open_clip:") and not store.declared,
        "embeds": not store.declared,
        "student": board.student is not None,
        "maps": _maps(board),
        "fields": {
            name: {"values": texts, "counts": np.bincount(codes + 1, minlength=len(texts) + 1).tolist()}
            for name, (texts, codes) in _fields(board).items()
        },
    }


def _maps(board: Board) -> list[str]:
    return [maps.PCA, *(name for name in maps.kept_maps(board.store) if name != maps.PCA)]


def _fields(board: Board) -> dict[str, tuple[list[str], np.ndarray[Any, np.dtype[np.int64]]]]:
    """Return of each field its values, the most frequent first, and the place (n,) of each sample's, -1 where it has none."""
    found = {}
    for name in FIELDS:
        field = board.store.text_field(spelt(name))
        counts = np.bincount(field.codes[field.codes >= 0], minlength=len(field.texts))
        used = sorted(np.flatnonzero(counts).tolist(), key=lambda code: (-counts[code], field.texts[code]))
        renumbered = np.full(len(field.texts) + 1, -1, np.int64)  # the last one stands for none
        renumbered[used] = np.arange(len(used))
        found[name] = ([field.texts[code] for code in used], renumbered[field.codes])
    return found


def _oddness(board: Board, comparison: Comparison) -> bytes:
    """Return (n,) each: distances and percentiles, float32, not finite where nothing can be compared; prototypes, int32."""
    found, order = comparison.distances, board.order
    scales = [found.distance, percentiles(comparison.samples, found)]
    return b"".join(one[order].astype("<f4").tobytes() for one in scales) + found.nearest[order].astype("<i4").tobytes()


def student_errors(store: EmbeddingStore, student: StudentScores) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return (n,) how much of its belief a student gives to other labels than a sample's own, 0 to 1; NaN where unknown."""
    errors = np.full(len(store), np.nan)
    columns = {name: column for column, name in enumerate(student.classes)}
    labels, positions = store.text_field("label"), store.find(student.ids)
    for row, position in enumerate(positions.tolist()):
        column = columns.get(labels.at(position) or "") if position >= 0 else None
        if column is not None:
            errors[position] = 1 - student.probabilities[row, column]
    return errors


def _comparison(board: Board, found: Comparison) -> dict[str, Any]:
    summary, positions = found.summary, found.samples.positions
    labels = sorted(set(board.store.labels), key=lambda label: (label is None, label or ""))
    with_words = compared_with(summary, given=found.given)
    return {
        "version": board.version,
        "against": {"en": with_words.en, "ja": with_words.ja},
        "prototypes": found.names,
        "near": {label: loss.near for label, loss in summary.averaging_loss.items()},
        "odd": [
            {"label": label, "listed": [[int(positions[row]), alike] for row, alike in found.oddest(label, ODDEST)]}
            for label in labels
        ],
    }


def _binary(board: Board, data: bytes) -> Response:
    return Response(data, headers={"X-Store-Version": str(board.version)}, media_type="application/octet-stream")
