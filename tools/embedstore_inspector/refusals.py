"""What the page is told where something can't be done: one sentence in both languages, as JSON."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from embedstore.errors import (
    ConflictError,
    CorruptStoreError,
    EmbedstoreError,
    MissingPackageError,
    NotAStoreError,
    PictureError,
    StoreLockedError,
    SummaryError,
    TeacherError,
    TeacherMismatchError,
)
from embedstore.pages import Text
from embedstore.visible import visible

_LOG = logging.getLogger(__name__)
# What a reader can do nothing about; the library's own sentence goes to the terminal.
_TOLD_THERE: tuple[tuple[type[EmbedstoreError], int, Text], ...] = (
    (
        NotAStoreError,
        503,
        Text(
            "The store is not there any more; ask who started the server.",
            "ストアが見つかりません。サーバーを起動した人に確認してください。",
        ),
    ),
    (
        CorruptStoreError,
        500,
        Text(
            "The store is damaged; ask who started the server, whose terminal says more.",
            "ストアが破損しています。サーバーを起動した人に確認してください。詳細はサーバーの端末に表示されています。",
        ),
    ),
    (
        SummaryError,
        400,
        Text(
            "The pictures can't be compared, as in a store without labels; ask who started the server, whose terminal says more.",
            "画像を比較できません（ラベルのないストアなど）。サーバーを起動した人に確認してください。詳細はサーバーの端末に表示されています。",
        ),
    ),
    (
        StoreLockedError,
        409,
        Text(
            "Somebody else is writing to the store; wait a moment and try again.",
            "別の処理がストアに書き込み中です。少し待ってからやり直してください。",
        ),
    ),
)
# What happened, in Japanese; the library's own sentences are in English and follow it.
_JAPANESE: tuple[tuple[type[EmbedstoreError], int, str], ...] = (
    (MissingPackageError, 501, "必要なパッケージがインストールされていません"),
    (TeacherMismatchError, 409, "ストアの教師モデルと一致しません"),
    (TeacherError, 501, "教師モデルを使えません"),
    (PictureError, 422, "画像を使えません"),
    (ConflictError, 409, "その後に別の変更があったため、処理できません"),
    (EmbedstoreError, 400, "処理できませんでした"),
)
_FOLDERS = re.compile(r"'(?:/|[A-Za-z]:[/\\\\])(?:[^']*[/\\\\])?(?=[^'])")  # of an absolute path that a sentence quotes
_HTTP = {
    404: Text("There is no such address on this server.", "このアドレスは存在しません。"),
    405: Text("This address is not asked in that way.", "このアドレスではその操作はできません。"),
}
FAULT = Text(
    "The server met a fault of its own; its terminal says more.",
    "サーバー内部でエラーが発生しました。詳細はサーバーの端末に表示されています。",
)


class RefusedError(EmbedstoreError):
    """A request that can't be answered.

    Args:
        status: of HTTP.
        sentence: what came, what was expected, what to do next.
        more: plain values that the page is told beside it.
    """

    def __init__(self, status: int, sentence: Text, more: Mapping[str, Any] | None = None):
        super().__init__(sentence.en)
        self.status, self.sentence, self.more = status, sentence, dict(more or {})


def json_response(values: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return plain values as JSON in ASCII: whatever bytes a name has, they can be sent."""
    return Response(json.dumps(values, allow_nan=False), status, headers, "application/json")


def refusal(error: RefusedError) -> Response:
    """Return a refusal as it is sent."""
    return json_response({"error": in_both(error.sentence), **error.more}, error.status)


def in_both(text: Text) -> dict[str, str]:
    """Return a text as the page is told it."""
    return {"en": text.en, "ja": text.ja}


async def refuse(request: Request, error: Exception) -> Response:
    """Answer a request that raised; the handler of every kind of error."""
    if isinstance(error, EmbedstoreError):
        return refusal(refused(error))
    if isinstance(error, HTTPException):
        sentence = _HTTP.get(error.status_code, Text(str(error.detail), str(error.detail)))
        return refusal(RefusedError(error.status_code, sentence))
    raise error


def refused(error: EmbedstoreError) -> RefusedError:
    """Return how an error of the library is told to a reader, who may know nothing of this machine's folders."""
    if isinstance(error, RefusedError):
        return error
    for kind, status, sentence in _TOLD_THERE:
        if isinstance(error, kind):
            _LOG.warning("%s", visible(str(error)))
            return RefusedError(status, sentence)
    said = _FOLDERS.sub("'", str(error))
    status, japanese = next((code, ja) for kind, code, ja in _JAPANESE if isinstance(error, kind))
    return RefusedError(status, Text(said, f"{japanese}（{said}）"))
