"""The page that a browser gets where the server's token is missing: it says what to do."""

from __future__ import annotations

import base64
import hashlib

from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from embedstore.pages import Text

_STYLE = (
    ":root{color-scheme:light dark}body{max-width:34rem;margin:14vh auto;padding:0 1.25rem;font:1.0625rem/1.7 'Segoe UI',Roboto,"
    "'Noto Sans','Hiragino Sans','Noto Sans JP','Noto Sans CJK JP','Yu Gothic',Meiryo,sans-serif}"
    "h1{font-size:1.5rem;line-height:1.4}"
    "code{padding:.15rem .4rem;border:1px solid;border-radius:4px;font-size:.9em;overflow-wrap:anywhere}"
    "section+section{margin-top:2.5rem;padding-top:1rem;border-top:1px solid}"
)
POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TITLE = Text("This page asks for its token", "このページにはトークンが必要です")
_STEPS = Text(
    "On the machine where embedstore serve runs, look at its terminal: it printed an address that ends in ?token=… Open that "
    "address here, once; this browser then remembers it until the server ends. If you don't have it, ask who started the server.",
    "embedstore serve を実行しているマシンの端末に、末尾が ?token=… のアドレスが表示されています。"
    "そのアドレスをこのブラウザで一度開いてください。サーバーが終了するまで有効です。"
    "分からない場合は、サーバーを起動した人に確認してください。",
)
_EXAMPLE = "http://192.168.1.5:8765/?token=…"


def no_token_page() -> Response:
    """Return the page, with a policy of its own: it has one style and nothing else."""
    parts = Markup("").join(
        Markup('<section lang="{}"><h1>{}</h1><p>{}</p></section>').format(
            language, getattr(_TITLE, language), getattr(_STEPS, language)
        )
        for language in ("en", "ja")
    )
    html = Markup(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        'initial-scale=1"><title>{}</title><style>{}</style></head><body>{}<p><code>{}</code></p></body></html>'
    ).format(_TITLE.en, Markup(_STYLE), parts, _EXAMPLE)  # noqa: S704  our own words
    return HTMLResponse(html, 401, {"Content-Security-Policy": POLICY})
