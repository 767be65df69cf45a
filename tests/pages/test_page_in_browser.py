"""The page in a real browser: it shows, its script is allowed, and nothing is complained of."""

import numpy as np
import pytest
from browser import browse, needs_browser
from PIL import Image
from test_page import everything

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(everything("A sentence."), "utf-8")
    return path


def test_the_console_is_heard(tmp_path):
    """Else the other tests could not fail: a script that the policy forbids is complained of."""
    path = tmp_path / "page.html"
    path.write_text(everything("x").replace("</body>", "<script>document.title = 'x';</script></body>"), "utf-8")
    with pytest.raises(AssertionError, match="Content Security Policy"):
        browse(path.as_uri(), tmp_path / "profile", "--dump-dom")


def test_the_address_chooses_the_language(page, tmp_path):
    assert '<html lang="ja" ' in browse(page.as_uri() + "#ja", tmp_path, "--dump-dom")
    assert '<html lang="en" ' in browse(page.as_uri() + "#en", tmp_path, "--dump-dom")


def test_the_picture_of_the_page_is_not_blank_and_differs_by_language(page, tmp_path):
    shots = []
    for language in ("en", "ja"):
        shot = tmp_path / f"{language}.png"
        browse(f"{page.as_uri()}#{language}", tmp_path / "profile", f"--screenshot={shot}", "--window-size=900,900")
        with Image.open(shot) as picture:
            shots.append(np.asarray(picture.convert("L"), int))
    for shot in shots:
        assert 0.005 < (np.abs(shot - np.median(shot)) > 80).mean() < 0.5  # ink on paper
    assert np.abs(shots[0] - shots[1]).max() > 80
