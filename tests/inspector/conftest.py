"""The line of parts that most of these tests look at; none of them changes it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, driven
from inspected import client_of, make_line, served
from live import load
from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with `photos` and `store`."""
    place = tmp_path_factory.mktemp("inspected")
    make_line(place)
    return place


@pytest.fixture(scope="session")
def client(line: Path) -> Iterator[TestClient]:
    """A client of the store's page."""
    with client_of(line / "store") as asked:
        yield asked


@pytest.fixture
def own_line(line: Path, tmp_path: Path) -> Path:
    """A copy of the folder that a test may change; the store's pictures are those of the copy where it says so."""
    shutil.copytree(line, tmp_path / "line")
    return tmp_path / "line"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser that is held."""
    with driven(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def store(line: Path, tmp_path: Path) -> Path:
    """A copy of the store alone, which a test may change; its pictures are those of the line."""
    shutil.copytree(line / "store", tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def deciding(browser: Page, store: Path) -> Iterator[Page]:
    """The page of that store; at its end no script may have failed and no policy been broken."""
    with served(store) as address:
        load(browser, address)
        yield browser
        # Nothing may ask whether to leave, for nobody would answer.
        browser.value("document.querySelector('#take-all-back').click()")
        browser.open("about:blank")
    assert browser.complaints == []
