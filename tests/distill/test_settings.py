"""Settings: what is allowed, and that they survive being written down."""

import json
import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

import distill
from distill import Settings
from distill.targets import MIXTURE, POLICIES
from distill.training.settings import CE_VIEWS, LOSSES
from embedstore.errors import SettingsError


def test_settings_survive_json() -> None:
    settings = Settings(
        policy="mixture",
        mixture={'良品 "A"': {"own": 0.5, "rare-samples": 2}, "傷": {"none": 1}},
        options={"rare-samples": {"summary": "monday"}},
        good='良品 "A"',
        seed=7,
        weight=2.5,
        views=1,
        folds=5,
        fold=2,
    )
    assert Settings(**json.loads(json.dumps(settings.to_dict(), allow_nan=False))) == settings


@pytest.mark.parametrize("named", [{"fold": 1}, {"val_fold": 0}, {"fold": 2, "val_fold": 1}])
def test_a_fold_without_their_number_is_refused(named: dict[str, int]) -> None:
    with pytest.raises(
        SettingsError, match=r"^A fold was named \(fold or val_fold\), but not how many are dealt; set folds"
    ):
        Settings(**named)  # type: ignore[arg-type]
    Settings(folds=5, **named)  # type: ignore[arg-type]


def test_settings_never_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().epochs = 5  # type: ignore[misc]


@pytest.mark.parametrize("policy", POLICIES)
def test_all_known_names_are_taken(policy: str) -> None:
    mixture = {"good": {"own": 1}} if policy == MIXTURE else {}
    for loss in LOSSES:
        for ce_views in CE_VIEWS:
            assert Settings(policy=policy, mixture=mixture, loss=loss, ce_views=ce_views).policy == policy


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("policy", "none, class-mean, sub-prototypes, rare-samples, own, compressed-own, retrieved, mixture"),
        ("loss", "cosine, mse, l1, contrastive"),
        ("ce_views", "all, whole"),
        ("answer", "head, neighbours, both, distribution, patches"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(field: str, told: str) -> None:
    with pytest.raises(SettingsError, match=f"'bogus' is unknown; use one of {told}"):
        Settings(**{field: "bogus"})


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("weight", -0.1, "lambda is -0.1"),
        ("weight", math.inf, "lambda is inf"),
        ("weight", math.nan, "lambda is nan"),
        ("temperature", 0, "temperature is 0"),
        ("temperature", math.inf, "temperature is inf"),
        ("size", 8, "size is 8"),
        ("epochs", 0, "number of epochs is 0"),
        ("seed", -1, "seed is -1"),
        ("seed", 2**32, "seed is 4294967296"),
        ("overkill", -0.01, "overkill is -0.01"),
        ("overkill", 5, "overkill is 5"),
        ("batch", 1, "batch is 1"),
        ("learning_rate", -1, "learning rate is -1"),
        ("learning_rate", 0, "learning rate is 0"),
        ("learning_rate", math.inf, "learning rate is inf"),
        ("weight_decay", math.nan, "weight decay is nan"),
        ("views", -1, "number of views is -1"),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(field: str, value: Any, named: str) -> None:
    with pytest.raises(SettingsError, match=f"The {named}; expected"):
        Settings(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("weight", 0), ("overkill", 0), ("overkill", 0.5), ("size", 16), ("batch", 2), ("views", 0)]
)
def test_the_ends_of_a_range_are_allowed(field: str, value: Any) -> None:
    assert getattr(Settings(**{field: value}), field) == value


def test_the_package_offers_its_settings() -> None:
    assert distill.Settings is Settings
