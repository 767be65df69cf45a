"""An export is met when it is complete, and refused when it is out of step; what can't be is one sentence."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import python_environment, run_python, store_of, unit_vectors
from hostile_store import COUNT, IDS, hostile_store

import embedstore
from embedstore import EmbeddingStore
from embedstore.errors import MissingPackageError, OutOfStepError, SearchEngineError, SettingsError, StoreError
from embedstore.search_engines import SearchExport, export_to, exporting, milvus, open_export
from embedstore.search_engines.milvus import Milvus


def small_store(path: Path, seed: int = 0, **fields: Any) -> EmbeddingStore:
    return store_of(
        path, [unit_vectors(seed, 30, 4), unit_vectors(seed + 50, 30, 4)], labels=["good", None, "bad"] * 10, **fields
    )


def places(uri: str) -> list[str]:
    opened = Milvus(uri, create=False)
    try:
        return sorted(opened._client.list_collections())
    finally:
        opened.close()


def answers(store: EmbeddingStore, uri: str, **options: Any) -> list[str]:
    with open_export(store, "milvus", uri, **options) as export:
        return [hit.id for hit in store.query(id="sample 00003", top=4, via=export)]


# Complete or not met


def test_searchers_meet_the_old_export_until_the_new_one_is_complete(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[int | None] = []
    insert = Milvus.insert

    def watched(self: Milvus, place: str, columns: Any, vectors: Any) -> None:
        insert(self, place, columns, vectors)
        found = self.found("parts")
        assert found is None or found.place != place
        met.append(found and self.count(found.place))

    monkeypatch.setattr(Milvus, "insert", watched)
    monkeypatch.setattr(exporting, "_MESSAGE", 600)
    with small_store(tmp_path / "parts.store") as store:
        export_to(store, "milvus", uri)
        assert len(met) > 2
        assert set(met) == {None}
        met.clear()
        with store.write() as writing:
            writing.delete(["sample 00029"])
        export_to(store, "milvus", uri)
        assert set(met) == {30}
        assert len(places(uri)) == 1
        assert answers(store, uri) == [hit.id for hit in store.query(id="sample 00003", top=4)]


@pytest.mark.parametrize("killed", [False, True])
def test_an_interrupted_export_is_never_met(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    def interrupted(self: Milvus, place: str, kind: str, count: int) -> None:
        raise KeyboardInterrupt

    with small_store(tmp_path / "parts.store") as store:
        with monkeypatch.context() as patch:
            patch.setattr(Milvus, "finish", interrupted)
            if killed:  # so nothing is tidied up
                patch.setattr(Milvus, "drop", lambda self, place: None)
            with pytest.raises(KeyboardInterrupt):
                export_to(store, "milvus", uri)
            assert len(places(uri)) == killed
            with pytest.raises(SearchEngineError, match=r"^The collection 'parts' at '.*' does not exist; export the"):
                answers(store, uri)
        export_to(store, "milvus", uri)
        whole = places(uri)
        assert len(whole) == 1
        with monkeypatch.context() as patch:
            patch.setattr(Milvus, "finish", interrupted)
            with pytest.raises(KeyboardInterrupt):
                export_to(store, "milvus", uri)
        assert places(uri) == whole
        assert answers(store, uri) == [hit.id for hit in store.query(id="sample 00003", top=4)]


KILLED = """
import os, sys
from pymilvus import MilvusClient
import embedstore
from embedstore.search_engines import export_to
original = getattr(MilvusClient, sys.argv[3])
def dying(*arguments, **options):
    original(*arguments, **options)
    os._exit(9)
setattr(MilvusClient, sys.argv[3], dying)
with embedstore.open(sys.argv[1]) as store:
    export_to(store, "milvus", sys.argv[2])
"""


@pytest.mark.cluster
def test_killed_after_any_step_searchers_meet_a_whole_copy_and_the_next_export_tidies_up(
    tmp_path: Path, uri: str
) -> None:
    def die_after(step: str) -> None:
        assert run_python(KILLED, store.path, uri, step).returncode == 9

    with small_store(tmp_path / "parts.store") as store:
        for step in ("create_collection", "alter_collection_properties"):
            die_after(step)
            with pytest.raises(SearchEngineError, match=r"^The collection 'parts' at '.*' does not exist; export the"):
                answers(store, uri)
        die_after("create_alias")
        first = answers(store, uri)
        assert first == [hit.id for hit in store.query(id="sample 00003", top=4)]
        with store.write() as writing:
            writing.delete([first[0]])
        with embedstore.open(store.path, version=1) as earlier:
            steps = (
                "create_collection",
                "insert",
                "flush",
                "create_index",
                "load_collection",
                "alter_collection_properties",
            )
            for step in steps:
                die_after(step)
                assert answers(earlier, uri) == first
        die_after("alter_alias")
        second = [hit.id for hit in store.query(id="sample 00003", top=4)]
        assert answers(store, uri) == second != first
        die_after("drop_collection")  # the first of those that the kills before left
        assert answers(store, uri) == second
        export_to(store, "milvus", uri)
        assert answers(store, uri) == second
        assert len(places(uri)) == 1


def test_lost_rows_are_no_export(tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    insert = Milvus.insert
    with small_store(tmp_path / "parts.store") as store:
        with monkeypatch.context() as patch:
            patch.setattr(
                Milvus,
                "insert",
                lambda self, place, columns, vectors: insert(
                    self, place, {name: texts[1:] for name, texts in columns.items()}, vectors[1:]
                ),
            )
            with pytest.raises(
                SearchEngineError, match=r"has 29 rows where 30 were sent; see its log, and export again"
            ):
                export_to(store, "milvus", uri)
        assert places(uri) == []


def test_an_export_whose_answer_is_lost_after_the_name_moved_is_kept(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Milvus.publish

    def unheard(self: Milvus, collection: str, place: str, said: str) -> None:
        publish(self, collection, place, said)
        raise SearchEngineError("The line is dead.")

    with small_store(tmp_path / "parts.store") as store:
        with monkeypatch.context() as patch:
            patch.setattr(Milvus, "publish", unheard)
            with pytest.raises(SearchEngineError, match="The line is dead"):
                export_to(store, "milvus", uri)
        assert answers(store, uri) == [hit.id for hit in store.query(id="sample 00003", top=4)]


def test_an_export_that_may_be_at_work_on_a_server_is_left_alone(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Milvus(uri, create=True)) as opened:
        own = opened.begin("parts", 4, {"id": 5}, overwrite=False)
        opened._folder, folder = None, opened._folder  # as on a server, which others reach, too
        with pytest.raises(
            SearchEngineError,
            match=r"^Another export to 'parts' at '.*' began 0 minutes ago and is not complete; wait for it, or, if it was "
            r"killed, give --overwrite\.$",
        ):
            opened.begin("parts", 4, {"id": 5}, overwrite=False)
        other = opened.begin("part", 4, {"id": 5}, overwrite=False)
        second = opened.begin("parts", 4, {"id": 5}, overwrite=True)
        assert set(opened._client.list_collections()) == {other, second} != {other, own}
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 6 * 3600 + 2)
        third = opened.begin("parts", 4, {"id": 5}, overwrite=False)
        assert set(opened._client.list_collections()) == {other, third}
        opened.finish(third, "FLAT", 0)
        opened.publish("parts", third, "complete")
        opened.publish("parts", other, "complete")  # and killed before the one before was removed
        fourth = opened.begin("parts", 4, {"id": 5}, overwrite=False)
        assert set(opened._client.list_collections()) == {other, fourth}
        opened._folder = folder


def test_an_export_that_is_replaced_while_it_is_open_is_told(tmp_path: Path, uri: str) -> None:
    with small_store(tmp_path / "parts.store") as store, open_all(store, uri) as (first, second):
        assert store.query(id="sample 00003", via=first) == store.query(id="sample 00003", via=second)
        export_to(store, "milvus", uri)
        with pytest.raises(
            OutOfStepError, match=r"^The collection 'parts' was exported anew since it was opened here; open"
        ):
            store.query(id="sample 00003", via=first)


@contextmanager
def open_all(store: EmbeddingStore, uri: str) -> Iterator[tuple[SearchExport, SearchExport]]:
    """Export, and open that twice and close one of three: milvus-lite has one server a folder, whoever has it open."""
    export_to(store, "milvus", uri)
    with open_export(store, "milvus", uri) as first, open_export(store, "milvus", uri) as second:
        with open_export(store, "milvus", uri):
            pass
        yield first, second


# In step


def test_an_export_of_a_version_with_other_content_is_refused(tmp_path: Path, uri: str) -> None:
    with small_store(tmp_path / "parts.store") as store:
        export_to(store, "milvus", uri)
        with store.write() as writing:
            writing.set("label", {"sample 00001": "bad"})
        command = f"embedstore export '{store.path}' '{uri}' --to milvus"
        with pytest.raises(OutOfStepError) as refused:
            answers(store, uri)
        assert str(refused.value) == (
            f"The collection 'parts' holds version 1 of the store '{store.path}', but it is read at version 2, which has other "
            f"samples, texts or vectors; export that with: {command}"
        )
        with embedstore.open(store.path, version=1) as earlier:
            assert answers(earlier, uri)[0] == earlier.query(id="sample 00003")[0].id
        with store.write() as writing:
            writing.set("label", {"sample 00001": None})
        assert answers(store, uri) == [hit.id for hit in store.query(id="sample 00003", top=4)]  # version 3 is as 1 was
        with store.write() as writing:
            writing.add(["sample 00001"], np.ones((2, 1, 4)), replace=True)
        with pytest.raises(OutOfStepError, match=r"holds version 1 of the store .* at version 4, which has other"):
            answers(store, uri)
        with embedstore.open(store.path, version=2) as earlier:
            with pytest.raises(OutOfStepError, match=rf"export that with: {command} --version 2$"):
                answers(earlier, uri)
            export_to(earlier, "milvus", uri, collection="second")
            assert answers(earlier, uri, collection="second") == [
                hit.id for hit in earlier.query(id="sample 00003", top=4)
            ]


def test_a_condition_is_taken_in_any_unicode_form_as_by_the_store(tmp_path: Path, uri: str) -> None:
    with small_store(tmp_path / "parts.store") as store:
        with store.write() as writing:
            writing.set("label", {"sample 00001": "d\u00e9faut", "sample 00002": "\u50b7\u30af\u3099"})
        export_to(store, "milvus", uri)
        with open_export(store, "milvus", uri) as export:
            for asked, found in {"de\u0301faut": "sample 00001", "\u50b7\u30b0": "sample 00002"}.items():
                hits = store.query(id="sample 00003", where={"label": asked}, via=export)
                assert [hit.id for hit in hits] == [found]


def test_a_store_that_changes_while_its_export_is_open_is_refused(tmp_path: Path, uri: str) -> None:
    with small_store(tmp_path / "parts.store") as store:
        export_to(store, "milvus", uri)
        with open_export(store, "milvus", uri) as export:
            store.query(id="sample 00003", via=export)
            with store.write() as writing:
                writing.delete(["sample 00000"])
            with pytest.raises(OutOfStepError, match=r"holds version 1 .* at version 2"):
                store.query(id="sample 00003", via=export)


def test_another_stores_export_is_neither_asked_nor_replaced(tmp_path: Path, uri: str) -> None:
    with small_store(tmp_path / "a.store") as store, small_store(tmp_path / "b.store", seed=1) as other:
        export_to(store, "milvus", uri, collection="parts")
        with pytest.raises(
            OutOfStepError, match=r"^The collection 'parts' holds version 1 of another store than '.*b\.store'"
        ):
            answers(other, uri, collection="parts")
        with pytest.raises(SettingsError, match=r"is an export of another store, or of this one at another path;"):
            export_to(other, "milvus", uri, collection="parts")
        moved = shutil.copytree(store.path, tmp_path / "moved.store")
        with embedstore.open(moved) as same:  # its vectors are read and compared
            assert answers(same, uri, collection="parts") == [hit.id for hit in same.query(id="sample 00003", top=4)]
            with pytest.raises(SettingsError, match=r"is an export of another store, or of this one at another path;"):
                export_to(same, "milvus", uri, collection="parts")
        export_to(other, "milvus", uri, collection="parts", overwrite=True)
        assert answers(other, uri, collection="parts") == [hit.id for hit in other.query(id="sample 00003", top=4)]


def test_a_changed_collection_is_refused(tmp_path: Path, uri: str) -> None:
    with small_store(tmp_path / "parts.store") as store:
        export_to(store, "milvus", uri)
        opened = Milvus(uri, create=False)
        found = opened.found("parts")
        assert found is not None
        opened.load(found.place)
        opened._client.delete(found.place, ids=["sample 00000"])
        opened._client.create_collection("mine", dimension=4)
        opened.close()
        with pytest.raises(OutOfStepError, match=r"has 29 rows, and 30 were exported: somebody else changed it"):
            answers(store, uri)
        for call in (export_to, answers_of):
            with pytest.raises(
                (SettingsError, SearchEngineError), match=r"^The collection 'mine' at '.*' is no export"
            ):
                call(store, "milvus", uri, collection="mine")


def answers_of(store: EmbeddingStore, engine: str, uri: str, collection: str) -> None:
    with open_export(store, engine, uri, collection=collection):
        pass


def test_another_view_is_exported_but_not_asked(tmp_path: Path, uri: str) -> None:
    with small_store(tmp_path / "parts.store") as store:
        made = export_to(store, "milvus", uri, view=1)
        assert (made.view, made.recall, made.faiss_overlap) == (1, 1.0, 1.0)
        with pytest.raises(
            OutOfStepError, match=r"holds view 1, and queries are answered by the plain one; export that with: "
        ):
            answers(store, uri)
        with pytest.raises(StoreError, match=r"has no view 7"):
            export_to(store, "milvus", uri, view=7)


# Kinds of index


@pytest.mark.parametrize("kind", ["ivf_flat", "HNSW"])
def test_other_kinds_are_searched_as_hard_as_the_wanted_recall_takes(tmp_path: Path, uri: str, kind: str) -> None:
    with hostile_store(tmp_path / "parts.store") as store:
        made = export_to(store, "milvus", uri, kind=kind, recall=0.9, seed=3)
        assert (made.kind, made.exact, made.seed) == (kind.upper(), False, 3)
        assert made.recall is not None
        assert made.recall >= 0.9
        with open_export(store, "milvus", uri) as export:
            assert (export.record.effort, export.record.recall) == (made.effort, made.recall)
            hits = store.query(id=IDS[7], top=5, via=export)
        exact = {hit.id: hit.similarity for hit in store.query(id=IDS[7], top=COUNT, exact=True)}
        assert [hit.similarity for hit in hits] == sorted((exact[hit.id] for hit in hits), reverse=True)


# What can't be


def test_nobody_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "CONNECT_SECONDS", 0.5)
    with small_store(tmp_path / "parts.store") as store:
        with pytest.raises(
            SearchEngineError, match=r"^No Milvus answers at 'http://127\.0\.0\.1:1'; start it, or check"
        ):
            export_to(store, "milvus", "http://127.0.0.1:1")
        with pytest.raises(SearchEngineError, match=r"^There is no '.*gone\.db'; copy a store there first, with: "):
            answers(store, str(tmp_path / "gone.db"))
        assert not (tmp_path / "gone.db").exists()


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("Fail connecting to server on h:1", "No Milvus answers at 'http://h:1'; start it, or check the address."),
        (
            "auth check failure, please check",
            "Milvus at 'http://h:1' refused the login (auth check failure, please check); set EMBEDSTORE_MILVUS_TOKEN to "
            "user:password, or to its key.",
        ),
        (
            "no space left\n on device.",
            "Milvus at 'http://h:1' failed: no space left on device; see its log, its disk and its memory, and try again.",
        ),
    ],
)
def test_what_a_server_says_becomes_one_sentence(reason: str, sentence: str) -> None:
    from pymilvus.exceptions import MilvusException

    with pytest.raises(SearchEngineError) as error, milvus._told("http://h:1"):
        raise MilvusException(message=reason)
    assert str(error.value) == sentence


def test_addresses_that_can_not_be_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBEDSTORE_MILVUS_URI", raising=False)
    (tmp_path / "file.db").write_text("mine")
    refused = {
        "http://[::1": r"^'http://\[::1' is no address of Milvus",
        "http://host:port": r"^'http://host:port' is no address of Milvus",
        "http://host:99999": r"^'http://host:99999' is no address of Milvus",
        "tcp://root:secret@host": r"^The address of Milvus holds a login, ",
        "parts": r"^'parts' is no address of Milvus; give http://HOST:19530, or for milvus-lite a path that ends in \.db\.$",
        "http://root:secret@host:19530": r"^The address of Milvus holds a login, .* set EMBEDSTORE_MILVUS_TOKEN",
        str(tmp_path / "gone" / "x.db"): r"^The directory '.*gone' does not exist; make it first\.$",
        str(tmp_path / "file.db"): r"is a file, and milvus-lite keeps a folder there",
        "": r"^Say where milvus is: give --uri, or set EMBEDSTORE_MILVUS_URI\.$",
    }
    with small_store(tmp_path / "parts.store") as store:
        for address, sentence in refused.items():
            with pytest.raises((SettingsError, SearchEngineError), match=sentence) as error:
                export_to(store, "milvus", address)
            assert "secret" not in str(error.value)
        with pytest.raises(SettingsError, match=r"^There is no search engine 'qdrant'; use one of milvus\.$"):
            export_to(store, "qdrant", "x.db")
    assert (tmp_path / "file.db").read_text() == "mine"


def test_texts_names_and_kinds_that_milvus_does_not_take_are_refused(tmp_path: Path, uri: str) -> None:
    with store_of(tmp_path / "parts.store", np.eye(2), ids=["a", "傷" * 22_000]) as store:
        with pytest.raises(
            SettingsError, match=r"^A text in the column 'id' has 66,000 bytes, and Milvus takes up to 65,535"
        ):
            export_to(store, "milvus", uri)
        with pytest.raises(SettingsError, match=r"^The name 'a-b' can't be a collection in Milvus"):
            export_to(store, "milvus", uri, collection="a-b")
        with pytest.raises(
            SettingsError, match=r"^Milvus has no index 'TREE' here; use one of FLAT, IVF_FLAT, HNSW, AUTO"
        ):
            export_to(store, "milvus", uri, kind="TREE")
        with pytest.raises(SettingsError, match=r"^The recall is 2, measured with 200 samples"):
            export_to(store, "milvus", uri, recall=2)
    with (
        embedstore.create(tmp_path / "empty", teacher="x", dim=2) as empty,
        pytest.raises(SettingsError, match="has no samples"),
    ):
        export_to(empty, "milvus", uri)


def test_one_sample_has_no_neighbours_to_compare(tmp_path: Path, uri: str) -> None:
    with store_of(tmp_path / "one", np.ones((1, 2))) as store:
        made = export_to(store, "milvus", uri)
        assert (made.recall, made.faiss_overlap, made.queries) == (None, None, 1)
        with open_export(store, "milvus", uri) as export:
            assert store.query(id="sample 00000", via=export) == []


@pytest.mark.parametrize(
    ("module", "sentence"), [("pymilvus", "Milvus needs pymilvus"), ("milvus_lite", "needs milvus-lite")]
)
def test_missing_packages_are_named(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch, module: str, sentence: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with small_store(tmp_path / "parts.store") as store, pytest.raises(MissingPackageError) as error:
        export_to(store, "milvus", uri)
    assert sentence in str(error.value)
    assert str(error.value).endswith(": pip install 'embedstore[milvus]'")


def test_nothing_stays_behind_and_nothing_is_printed(tmp_path: Path, uri: str) -> None:
    code = """
import sys
import embedstore
from embedstore.errors import SearchEngineError
from embedstore.search_engines import export_to, open_export
assert "pymilvus" not in sys.modules
with embedstore.open(sys.argv[1]) as store:
    export_to(store, "milvus", sys.argv[2])
    with open_export(store, "milvus", sys.argv[2]) as export:
        print(store.query(id="sample 00003", top=1, via=export)[0].id)
        input()  # another process tries
"""
    with small_store(tmp_path / "parts.store") as store:
        nearest = store.query(id="sample 00003", top=1)[0].id
        with subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, str(store.path), uri],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=python_environment(),
        ) as child:  # fmt: skip
            assert child.stdout is not None
            assert child.stdout.readline().strip() == nearest
            with pytest.raises(
                SearchEngineError, match=r"^milvus-lite can't open '.*': another process may have it open"
            ):
                answers(store, uri)
            _, errors = child.communicate("\n", timeout=30)
        assert (child.returncode, errors) == (0, "")
        assert answers(store, uri)[0] == nearest
