"""The switch and the ways back: two migrations at once, a map that fails, samples that are left out, an index, undo, Ctrl-C."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import CountingTeacher, write_pictures
from two_teachers import TurnedTeacher, built

import embedstore
from embedstore import triage
from embedstore.engines import local
from embedstore.errors import SettingsError, StoreError
from embedstore.store.writing import writer
from embedstore.teacher_change import filling
from embedstore.teacher_change.migration import _Migration

FIRST, SECOND = CountingTeacher().fingerprint, TurnedTeacher().fingerprint


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return built(tmp_path / "store")


def test_of_two_migrations_at_once_one_changes_over(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switch, others = _Migration.switch, list[bool]()

    def after_another(migration: _Migration, **options: bool) -> None:
        if not others:
            others.append(True)
            assert embedstore.migrate(store, TurnedTeacher()).switched
            with embedstore.open(store) as opened:
                opened.build_index("Flat")
        switch(migration, **options)

    monkeypatch.setattr(_Migration, "switch", after_another)
    report = embedstore.migrate(store, TurnedTeacher())
    assert (report.switched, report.active, report.version) == (False, True, 2)
    with embedstore.open(store) as opened:
        assert [entry.action for entry in opened.log()] == ["create", "build", "migrate to turned"]
        assert opened.index_info is not None


def test_a_vector_that_is_there_is_never_written_again(store: Path) -> None:
    class Rounding(TurnedTeacher):
        """The same teacher on a machine that rounds otherwise; while it looks, another migration is done with all."""

        def embed(self, pictures: Any) -> Any:
            if not self.calls:
                embedstore.migrate(store, TurnedTeacher())
                with embedstore.open(store) as opened:
                    seen.append(opened.vectors())
            return {name: vectors + 0.01 for name, vectors in super().embed(pictures).items()}

    seen: list[Any] = []
    assert not embedstore.migrate(store, Rounding()).switched
    with embedstore.open(store) as opened:
        np.testing.assert_array_equal(opened.vectors(), seen[0])


def test_a_map_that_cannot_be_made_leaves_the_store_with_its_teacher(store: Path) -> None:
    with embedstore.open(store) as opened, opened.write("relabel") as writing:
        writing.set("group", {name: f"part {at % 3}" for at, name in enumerate(opened.ids)})
    with pytest.raises(StoreError, match="5 parts or more"):
        embedstore.migrate(store, TurnedTeacher(), map="linear")
    with embedstore.open(store) as opened:
        assert (opened.fingerprint, opened.version) == (FIRST, 2)


def test_who_left_samples_out_by_mistake_rolls_back_and_has_all(store: Path) -> None:
    for picture in sorted((store.parent / "images").rglob("*.png"))[:20]:
        picture.unlink()
    assert embedstore.migrate(store, TurnedTeacher(), without_missing=True).removed == 20
    assert embedstore.migrate(store, back=True).samples == 4
    assert embedstore.rollback(store, 1).back == 20
    with embedstore.open(store) as opened:
        assert (len(opened), opened.fingerprint) == (24, FIRST)
    assert embedstore.verify(store).findings == ()


def test_an_index_of_the_teacher_that_a_rollback_left_is_no_damage(store: Path) -> None:
    embedstore.migrate(store, TurnedTeacher())
    with embedstore.open(store) as opened:
        opened.build_index("Flat")
    embedstore.rollback(store, 1)
    with embedstore.open(store) as opened:
        assert (opened.fingerprint, opened.index_info) == (FIRST, None)
    assert embedstore.verify(store).findings == ()


def test_undo_names_the_way_back(store: Path) -> None:
    embedstore.migrate(store, TurnedTeacher())
    with embedstore.open(store) as opened, pytest.raises(StoreError, match=r"'counting' to 'turned'.*--back"):
        triage.undo(opened, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"teacher": CountingTeacher(early=True), "outputs": ["early"]}, "build .* --outputs early"),
        ({"back": True, "outputs": ["early"]}, "leave the outputs out"),
    ],
)
def test_outputs_that_would_be_passed_over_are_refused(store: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        embedstore.migrate(store, **options)


def test_who_stops_it_does_not_wait_for_another_writer(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_CROPS_AT_ONCE", 6)
    monkeypatch.setattr(filling, "_LAST_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(filling, "PATIENCE_SECONDS", 3.0)
    with ExitStack() as held:

        class Stopped(TurnedTeacher):
            def embed(self, pictures: Any) -> Any:
                if self.calls == 2:
                    held.enter_context(writer(store))  # as a build would, for hours
                    raise KeyboardInterrupt
                return super().embed(pictures)

        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            embedstore.migrate(store, Stopped())
        assert time.monotonic() - begun < 2.5
    with embedstore.open(store) as opened:
        assert opened.fingerprint == FIRST


def test_a_store_that_was_emptied_gets_another_teacher_and_keeps_its_history(store: Path) -> None:
    with embedstore.open(store) as opened, opened.write("delete") as writing:
        writing.delete(opened.ids)
    report = embedstore.migrate(store, TurnedTeacher())
    assert (report.switched, report.samples) == (True, 0)
    assert embedstore.verify(store).findings == ()
    assert embedstore.build(store, store.parent / "images", teacher=TurnedTeacher(), views=1).new == 24
    with embedstore.open(store) as opened:
        assert (opened.fingerprint, len(opened)) == (SECOND, 24)
    assert embedstore.rollback(store, 1).back == 24
    with embedstore.open(store) as opened:
        assert opened.fingerprint == FIRST


def test_what_was_only_renamed_is_not_left_out(store: Path) -> None:
    images, names = store.parent / "images", ["good/00.png", "crack/03.png"]
    with embedstore.open(store) as opened, opened.write("relabel") as writing:
        writing.set("label", {names[0]: "pore"})
        writing.set("split", {names[0]: "test"})
    for name in names:
        (images / name).rename(images / "good" / f"renamed {name.replace('/', ' ')}")
    (images / "good/01.png").unlink()
    told = "'crack/03.png', and 1 more, can't be left out: the picture is in the image folder under another name "
    with pytest.raises(StoreError, match=rf"^{told}\('good/renamed crack 03.png'\), .* first: embedstore refresh"):
        embedstore.migrate(store, TurnedTeacher(), without_missing=True)
    embedstore.refresh(store, teacher=CountingTeacher(), prune=False)
    report = embedstore.migrate(store, TurnedTeacher(), without_missing=True)
    assert (report.switched, report.removed, report.samples) == (True, 1, 23)
    with embedstore.open(store) as opened:
        renamed = opened.sample("good/renamed good 00.png")
    assert (renamed.label, renamed.split) == ("pore", "test")


def test_what_a_manifest_does_not_name_under_its_new_name_is_left_out(tmp_path: Path) -> None:
    names = [f"pile/{number}.png" for number in range(4)]
    write_pictures(tmp_path / "images", names)
    rows = [f"{name},{'good' if number else 'crack'}\n" for number, name in enumerate(names)]
    (tmp_path / "m.csv").write_text("path,label\n" + "".join(rows), "utf-8")
    store = built(tmp_path / "store", names, manifest=tmp_path / "m.csv")
    (tmp_path / "images" / names[3]).rename(tmp_path / "images" / "backup.png")
    report = embedstore.migrate(store, TurnedTeacher(), without_missing=True)
    assert (report.switched, report.removed, report.samples) == (True, 1, 3)
