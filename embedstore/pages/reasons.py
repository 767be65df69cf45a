"""Why a picture can't be used, in both languages: the reasons of `embedstore.pictures` and `embedstore.images`."""

import re

from embedstore.pages.words import Text

_JAPANESE = {
    r"the file is empty": "ファイルが空です",
    r"can't be read: (.+)": "ファイルを読めません（{}）",
    r"can't be decoded: (.+)": "画像として読み取れません（{}）",
    r"can't be shown: its mode is (.+)": "表示できません（モード {}）",
    r"claims (.+) pixels, more than (.+)": "画素数が多すぎます（{}、上限 {}）",
    r"claims more than (.+) pixels": "画素数が多すぎます（上限 {}）",
    r"has no pixels": "画素がありません",
    r"is not a picture in a known format": "対応する形式の画像ではありません",
    r"has floating-point pixels; .+": "画素が浮動小数点数です。8 か 16 ビットのグレースケールで保存してください",
    r"has integer pixels beyond 16 bits; .+": "画素が 16 ビットを超えています。8 か 16 ビットのグレースケールで保存してください",
    r"its file is not there": "ファイルがありません",
    r"its name is not valid UTF-8; rename it": "ファイル名が UTF-8 ではありません。名前を変えてください",
    r"its path leads out of the image folder on Windows; rename it": "Windows ではパスが画像フォルダの外を指します。"
    "名前を変えてください",
    r"it is no regular file, or a link that leads nowhere": "通常のファイルではないか、リンク先がありません",
    r"it is a link that leads outside of the image folder": "画像フォルダの外へのリンクです",
    r"it is a link to a folder; such links are not followed": "フォルダへのリンクで、その中は読みません",
}


def reason_text(reason: str) -> Text:
    """Return a reason for a page; one that is not known stays English, and says so."""
    for pattern, japanese in _JAPANESE.items():
        if found := re.fullmatch(pattern, reason, re.DOTALL):
            return Text(reason, japanese.format(*found.groups()))
    return Text(reason, f"{reason}（英語）")
