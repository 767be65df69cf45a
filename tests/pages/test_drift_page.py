"""The page of drift: the answer, both languages, the pictures beside what they are like, hostile names."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from drawings import HOSTILE
from helpers import smooth_picture, write_picture

from embedstore.analysis.drift import find_drift
from embedstore.errors import SettingsError
from embedstore.pages.drift_page import drift_page, write_drift_page

sys.path.append(str(Path(__file__).parents[1] / "analysis" / "drift"))
import planted_batches as planted


def test_the_answer_and_its_figures_in_both_languages(tmp_path: Path) -> None:
    batch = planted.fresh()
    with planted.make(tmp_path / "s") as store:
        found = find_drift(store, batch, top=3)
        page = drift_page(found, batch, store)
    for sentence in found.sentences:
        assert sentence.en in page
        assert sentence.ja in page
    assert page.count('<article class="odd">') == 3
    assert "Quiet" in page
    for row in found.labels:
        assert f">{row.label}<" in page
    assert found.moved[0].typical.replace("/", "/<wbr>") in page or found.moved[0].typical in page


def test_pictures_are_shown_where_they_can_be_read(tmp_path: Path) -> None:
    batch = replace(planted.fresh(), root=tmp_path / "day")
    with planted.make(tmp_path / "s") as store:
        found = find_drift(store, batch, top=2)
        write_picture(tmp_path / "day" / found.moved[0].uri, smooth_picture(1, (40, 30)))
        write_picture(store.image_root / found.moved[0].typical, smooth_picture(2, (40, 30)))
        page = drift_page(found, batch, store)
    assert page.count("data:image/webp") >= 2
    assert "No picture" in page


def test_hostile_names_stay_text_and_lead_nowhere(tmp_path: Path) -> None:
    secret = write_picture(tmp_path / "secret.png", smooth_picture(3, (40, 30)))
    fresh = planted.fresh()
    samples = [
        replace(one, id=f"{at}{HOSTILE}", uri=f"../{secret.name}", group=f"{at}{HOSTILE}")
        for at, one in enumerate(fresh.samples)
    ]
    batch = replace(fresh, name=HOSTILE, samples=samples, root=tmp_path / "day")
    labels = [HOSTILE + one for one in planted.parts(planted.STORE_PARTS, 0)[1]]
    with planted.make(tmp_path / "s", labels=labels) as store:
        found = find_drift(store, batch, top=5)
        page = drift_page(found, batch, store)
    assert HOSTILE not in page
    assert "<script>alert" not in page
    assert "data:image/webp" not in page


def test_it_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = planted.fresh()
    with planted.make(tmp_path / "s") as store:
        found = find_drift(store, batch, top=0)
        write_drift_page(found, batch, store, tmp_path / "drift.html")
        assert (tmp_path / "drift.html").read_text("utf-8") == drift_page(found, batch, store)
        with pytest.raises(SettingsError, match=r"does not end in \.html"):
            write_drift_page(found, batch, store, tmp_path / "drift.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drift.html", "s"]
