"""What a reader is told of the library's errors: one sentence in each language, nothing of this machine's folders."""

import re
import shutil
from pathlib import Path

import pytest
from helpers import store_of, unit_vectors
from inspected import client_of
from test_security import sentence

from embedstore.errors import CorruptStoreError, EmbedstoreError, NotAStoreError, StoreLockedError, SummaryError
from embedstore_inspector.refusals import refused

V = {"v": "1"}


@pytest.mark.parametrize("kind", [NotAStoreError, CorruptStoreError, StoreLockedError, SummaryError])
def test_what_only_the_terminal_can_help_with_goes_there(
    kind: type[EmbedstoreError], caplog: pytest.LogCaptureFixture
) -> None:
    said = refused(kind("The store '/srv/lines/parts.store' is no good.")).sentence
    assert "ann" not in said.en + said.ja
    assert not re.search("[a-z]", said.ja)
    assert caplog.messages == ["The store '/srv/lines/parts.store' is no good."]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("No map is kept of '/srv/lines/parts.store'; see '/tmp/x'.", "No map is kept of 'parts.store'; see 'x'."),
        ("At 'C:\\lines\\parts.store' and 'C:/lines/b'.", "At 'parts.store' and 'b'."),
        ("The sample 'good/1.png' can't be.", "The sample 'good/1.png' can't be."),
    ],
)
def test_other_sentences_are_told_without_folders(given: str, told: str) -> None:
    said = refused(EmbedstoreError(given)).sentence
    assert said.en == told
    assert said.ja == f"処理できませんでした（{told}）"


def test_a_store_that_went_away_is_told_without_its_path(own_line: Path) -> None:
    with client_of(own_line / "store") as client:
        shutil.rmtree(own_line / "store")
        response = client.get("/api/state")
    assert response.status_code == 503
    assert "not there any more" in sentence(response)["en"]
    assert str(own_line) not in response.text


def test_no_answer_about_a_store_names_its_folder(tmp_path: Path) -> None:
    store_of(tmp_path / "bare", unit_vectors(1, 5)).close()
    with client_of(tmp_path / "bare") as client:
        for path in ("/api/comparison", "/prototypes", "/api/oddness", "/api/places?method=umap", "/api/undo?number=9"):
            response = client.get(path, params=None if "?" in path else V)
            if "method" in path:
                response = client.get(path + "&v=1")
            assert response.status_code in (400, 409), path
            assert str(tmp_path) not in response.text, path
