"""Methods: each trains, and is what it says."""

from pathlib import Path

import numpy as np
import pytest
from toy_parts import quick

import distill
from distill.methods import METHODS, settings_of
from distill.reports.words import LIVE, short, taught
from distill.targets import POLICIES, TrainingSet
from distill.targets.making import make_policy
from distill.training.run_data import make_run_data
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError
from embedstore.summaries import summarize
from embedstore.vectors import unit_length


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_the_toy_task(name: str, store: EmbeddingStore, tmp_path: Path) -> None:
    run = distill.train(store, tmp_path / "run", settings_of(name, quick(epochs=5)))
    assert run.report.auroc is not None
    assert run.report.auroc > 0.85


def test_methods_and_policies_have_different_names_and_names_for_people() -> None:
    assert not METHODS.keys() & POLICIES.keys()
    for name in [*METHODS, *POLICIES]:
        assert short(name).ja
        assert taught(name).en != "–"
    assert set(LIVE) == {name for name in [*METHODS, *POLICIES] if settings_of_policy(name) == "live-teacher"}


def settings_of_policy(name: str) -> str:
    return METHODS[name].policy if name in METHODS else name


def test_a_method_changes_nothing_of_the_budget() -> None:
    base = quick(epochs=7, batch=5, learning_rate=0.5, seed=3, size=40, views=1, ema=0.5, weight=9, temperature=0.3)
    for name in METHODS:
        chosen = settings_of(name, base)
        for field in ("epochs", "batch", "learning_rate", "seed", "size", "views", "ema", "student", "good"):
            assert getattr(chosen, field) == getattr(base, field)
    assert settings_of("class-mean", base).temperature == 0.3
    assert settings_of("clip-embed-kd", base).temperature == 1


def test_options_of_other_policies_are_passed_over() -> None:
    base = quick(policy="own", options={"retrieved": {"alpha": 0.2}, "class-mean": {"per_class": 3}})
    assert settings_of("own", base).options == {}
    assert settings_of("class-mean", base).options == {"class-mean": {"per_class": 3}}
    assert settings_of("clip-embed-kd", base).options == {"uncentred-means": {"per_class": 100}}


def test_plain_training_has_the_epochs_of_pre_training_too() -> None:
    base = quick(policy="own", epochs=7, pretrain_epochs=3)
    assert (settings_of("none", base).epochs, settings_of("none", base).pretrain_epochs) == (10, 0)
    assert (settings_of("own", base).epochs, settings_of("own", base).pretrain_epochs) == (7, 3)


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"'clip-kd' is unknown; use one of none, .* or the methods none-fresh"):
        settings_of("clip-kd", quick())


def test_uncentred_means_are_the_means_as_they_are(store: EmbeddingStore) -> None:
    positions = make_run_data(store, quick()).sides["train"]
    training = TrainingSet.from_source(store, positions)
    means = summarize(store, "class-mean", positions=positions)
    policy = make_policy("uncentred-means", training, seed=0, options={}, weights={}, summary_of=lambda *_: means)
    assert policy is not None
    labels = sorted({label for label in training.labels if label is not None})
    expected = []
    for label in labels:
        own = positions[[at for at, one in enumerate(training.labels) if one == label]]
        expected.append(store.read(own).astype(np.float64).mean(axis=0))
    np.testing.assert_allclose(policy.prototypes, unit_length(np.array(expected, np.float32)), atol=1e-6)


@pytest.mark.parametrize("policy", ["own", "sub-prototypes", "rare-samples", "retrieved", "shuffled-own"])
def test_fresh_crops_are_refused_where_the_vector_of_the_view_is_needed(policy: str) -> None:
    with pytest.raises(SettingsError, match=f"'{policy}' needs the vector of each view, .* or one of none, class-mean"):
        quick(policy=policy, crops="fresh")
    with pytest.raises(SettingsError, match=f"'{policy}' needs the vector of each view"):
        quick(policy="mixture", mixture={"good": {"none": 1, policy: 1}}, crops="fresh")


@pytest.mark.parametrize("policy", [name for name, kind in POLICIES.items() if kind.any_view])
def test_fresh_crops_train_every_other_policy(policy: str, store: EmbeddingStore, tmp_path: Path) -> None:
    run = distill.train(store, tmp_path / "run", quick(policy=policy, crops="fresh", epochs=4))
    assert run.report.auroc is not None
    assert run.report.auroc > 0.8


def test_what_is_said_of_a_methods_policy_is_kept_beside_what_belongs_to_the_method() -> None:
    moved = quick(policy="own", options={"live-teacher": {"teacher": "open_clip:ViT-B-32@/new/place"}})
    assert settings_of("clip-teacher-kd", moved).options == {
        "live-teacher": {"teacher": "open_clip:ViT-B-32@/new/place", "centred": False}
    }
    saved = quick(policy="own", options={"uncentred-means": {"summary": "monday"}})
    assert settings_of("clip-embed-kd", saved).options == {"uncentred-means": {"summary": "monday"}}
