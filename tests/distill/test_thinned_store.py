"""Students of a thinned store: trained like any other, in a space of their own."""

from pathlib import Path

from helpers import assert_same_to_a_float16_step
from toy_parts import quick

import distill
import embedstore
from distill.targets import TrainingSet
from distill.training.run_data import make_run_data
from embedstore.teachers.reduction import KIND, Reduction


def test_a_student_learns_from_fewer_axes_and_views(store_path: Path, tmp_path: Path) -> None:
    embedstore.thin(store_path, tmp_path / "small", views=1, dims=8)
    run = distill.train(tmp_path / "small", tmp_path / "run", quick(policy="own", epochs=5))
    assert run.report.auroc is not None
    assert run.report.auroc > 0.9
    with embedstore.open(tmp_path / "small") as small, embedstore.open(store_path) as store:
        at = make_run_data(small, quick()).sides["train"]
        whole = store.vectors([small.ids[one] for one in at])
        assert TrainingSet.from_source(small, at).centre.shape == (8,)
        assert_same_to_a_float16_step(small.read(at), Reduction.from_dict(small.space[KIND])(whole))


def test_the_live_teacher_gives_what_the_thinned_store_keeps(store_path: Path, tmp_path: Path) -> None:
    embedstore.thin(store_path, tmp_path / "small", views=1, dims=8)
    run = distill.train(tmp_path / "small", tmp_path / "run", quick(policy="live-teacher", epochs=1))
    assert run.report.policy == "live-teacher"
