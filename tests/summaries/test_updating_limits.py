"""When an updated label is clustered again, what comes and goes with labels, groups and verdicts, and what an update says."""

from pathlib import Path

import msgpack
import numpy as np
import pytest
from helpers import text_vectors
from toy_updates import LIMIT, blobs, change, make, renewed, saved, summary_of

import embedstore
from embedstore import EmbeddingStore, Summary
from embedstore.summaries import STRATEGIES
from embedstore.summaries.updating import Lineage, Renewal
from embedstore.summaries.updating_labels import UPDATED


@pytest.fixture(autouse=True)
def texts_are_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddingStore, "embed_text", lambda store, texts: text_vectors(texts, store.dim))


def test_a_kind_that_came_has_its_label_clustered_again(tmp_path: Path) -> None:
    with make(tmp_path / "s", kinds=2) as store:
        data = saved(store, "sub-prototypes")
        change(store, centres=[6, 7])
        renewal = renewed(store, data)
        assert (renewal.again, renewal.updated) == (("common",), ())
        summary, anew = summary_of(renewal), store.summarize("sub-prototypes", k=4)
        assert summary.averaging_loss["common"].mean == pytest.approx(anew.averaging_loss["common"].mean, abs=1e-6)
        assert Lineage.read(renewal.data)[1].losses["common"] == summary.averaging_loss["common"].mean
        assert "made again: common." in summary.remarks[-1]
        lenient = renewed(store, data, limit=10.0)
        assert (lenient.again, lenient.updated) == ((), ("common",))
        assert summary_of(lenient).averaging_loss["common"].mean > summary.averaging_loss["common"].mean * (1 + LIMIT)


def test_a_loss_that_creeps_up_is_noticed(tmp_path: Path) -> None:
    """Each refresh brings one sample of a new kind: no step is beyond the limit, all together are."""
    with make(tmp_path / "s", kinds=2) as store:
        data = saved(store, "sub-prototypes")
        first = Lineage.read(data)[1].losses["common"]
        again = []
        for step in range(8):
            with store.write() as writing:
                vectors = blobs(50 + step, 2, [6])
                writing.add([f"new {step}"], np.stack([vectors[:1], vectors[1:]]), labels=["common"])
            renewal = renewed(store, data, limit=0.25)
            assert renewal.losses is not None
            was, now = renewal.losses["common"]
            assert was is not None
            again.append(bool(renewal.again))
            if again[-1]:
                assert now < first * 1.25
                break
            assert now < was * 1.25  # this step alone would have passed
            assert Lineage.read(renewal.data)[1].losses["common"] == first
            data = renewal.data
        assert again[-1]
        assert len(again) > 1


def test_a_new_label_is_fitted_and_one_that_is_gone_leaves(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, "medoids")
        with store.write() as writing:
            writing.set("label", {one.id: "third" for one in store.samples if one.label == "other"})
        renewal = renewed(store, data)
        summary, anew = summary_of(renewal), store.summarize("medoids", k=4)
        assert renewal.again == ("third",)
        assert summary.labels == anew.labels == ["common"] * 4 + ["third"] * 4
        assert {summary.seen[at] for at in summary.source} == {anew.seen[at] for at in anew.source}


def test_what_people_called_rare_is_kept_and_a_rare_one_that_left_is_replaced(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, "rare-samples")
        before = Summary.from_bytes(data)
        rare = [before.seen[at] for at in before.source if at >= 0]
        usual = next(one for one in before.seen if one not in rare and store.sample(one).label == "common")
        gone = next(one for one in rare if store.sample(one).label == "common")
        with store.write() as writing:
            writing.set("verdict", {usual: "rare"})
            writing.delete([gone])
        renewal = renewed(store, data, limit=10.0)
        after = summary_of(renewal)
        kept = {after.seen[at] for at in after.source if at >= 0}
        assert renewal.updated == ("common",)
        assert kept == (set(rare) - {gone}) | {usual}


def test_a_medoid_that_left_makes_room_for_a_member_of_its_cluster(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, "medoids")
        before = Summary.from_bytes(data)
        number = int(before.labels.index("common"))
        gone = before.seen[before.source[number]]
        members = set(before.members(number)) - {gone}
        with store.write() as writing:
            writing.delete([gone])
        after = summary_of(renewed(store, data))
        assert set(after.members(number)) == members
        assert after.seen[after.source[number]] in members


def test_groups_and_modes_that_changed_are_measured_anew(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, "sub-prototypes")
        with store.write() as writing:
            writing.set("group", {one.id: "one" for one in store.samples if one.label == "other"})
            writing.set("mode", {"sample 00001": "c"})
        summary = summary_of(renewed(store, data))
        anew = store.summarize("sub-prototypes", k=4)
        assert summary.vectors.tobytes() == Summary.from_bytes(data).vectors.tobytes() == anew.vectors.tobytes()
        assert summary.averaging_loss["other"].near is None
        assert summary.averaging_loss["common"].modes == anew.averaging_loss["common"].modes
        assert "c" in summary.averaging_loss["common"].modes


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_where_nothing_changed_it_stays(strategy: str, tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, strategy)
        with store.write() as writing:
            writing.set("line", {"sample 00000": "3"})
        assert renewed(store, data) == Renewal(None)


def test_where_the_version_it_was_made_of_is_gone_it_is_made_again(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, "class-mean")
        store.delete_summary("s")
        change(store)
        store.compact()
        renewal = renewed(store, data)
        assert renewal.again == ("common", "other")
        assert summary_of(renewal).vectors.tobytes() == store.summarize("class-mean").vectors.tobytes()


def test_an_update_says_that_it_is_one_and_only_once(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, "sub-prototypes")
        for seed in (7, 30):
            with store.write() as writing:
                writing.add([f"n{seed}"], np.stack([blobs(seed, 1), blobs(seed, 1)]), labels=["common"])
            data = renewed(store, data).data
        remarks = Summary.from_bytes(data).remarks
        assert [one for one in remarks if one.startswith(UPDATED)] == [
            f"{UPDATED}since version 2 of the store 1 picture came and 0 left."
        ]


def test_a_lineage_that_is_damaged_is_told(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        summary = Summary.from_bytes(saved(store, "class-mean"))
    data = summary.to_bytes({"lineage": np.frombuffer(b"rubbish", np.uint8)})
    with pytest.raises(embedstore.EmbedstoreError, match="says nothing of its updates; make it again"):
        Lineage.read(data)


def test_near_of_an_earlier_release_which_was_between_raw_vectors_is_looked_up_again(tmp_path: Path) -> None:
    with make(tmp_path / "s") as store:
        data = saved(store, "class-mean")
        change(store)
        data = renewed(store, data).data
        summary, extra = Summary.with_extra(data)
        said = msgpack.unpackb(extra["lineage"].tobytes())
        assert said.pop("near_between") == "directions"
        extra |= {
            "lineage": np.frombuffer(msgpack.packb(said), np.uint8),
            "near_distances": np.zeros_like(extra["near_distances"]),
        }
        with store.write() as writing:
            writing.delete(summary.seen[:5])
        found, expected = (summary_of(renewed(store, one)) for one in (summary.to_bytes(extra), data))
        assert found.averaging_loss == expected.averaging_loss
