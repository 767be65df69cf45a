"""The advice: look at the store, try the candidates, and choose one; `words` says why, `task` writes it down."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from distill.advice import trials
from distill.advice.agreed import begun_version, read_agreed, write_agreed
from distill.advice.candidates import Candidate, chosen_candidates
from distill.advice.decision import NO_ESCAPE, Decision, decide
from distill.advice.footprint import Footprint, LeftOut
from distill.advice.looks import Looks, look
from distill.advice.needs import MOST_OVERKILL, Needs
from distill.advice.patches import TrialPatches, with_patches
from distill.advice.planning import LEARNING_PATCHES, LOOKING, TRYING, Basis, Progress, plan_all, trained_ways
from distill.advice.trials import Pace, Plan
from distill.source import contents_of, opened_store
from distill.training.ranks import refuse_ranks
from distill.training.run_data import make_run_data
from distill.training.settings import Settings
from embedstore import EmbeddingStore
from embedstore.errors import SettingsError


@dataclass(frozen=True)
class Advice:
    """What is advised, and all that it rests on.

    Attributes:
        settings: of the training that is advised.
        needs: what was asked for.
        looks: what the store says.
        tried: the candidates that were tried, in the order of simplicity.
        left_out: those that were not.
        footprints, paces: of each that was tried, by name.
        decision: how each did, and which is advised.
        plan: of the trials.
        learned, training: pictures that a run of the trials learned from, on average, and that the training will learn from.
        minutes: that the runs of the trials trained, all together.
        training_minutes: that the training will take on this machine, about.
        remarks: sentences of the runs on their data.
    """

    settings: Settings
    needs: Needs
    looks: Looks
    tried: list[Candidate]
    left_out: list[LeftOut]
    footprints: dict[str, Footprint]
    paces: dict[str, Pace]
    decision: Decision
    plan: Plan
    learned: int
    training: int
    minutes: float
    training_minutes: float
    remarks: list[str]

    def candidate(self, name: str) -> Candidate:
        """Return one of those that were tried."""
        return next(one for one in self.tried if one.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, with the reasons and the doubts in words."""
        from distill.advice.look_words import unsure
        from distill.advice.trial_words import doubts
        from distill.advice.words import reasons

        said = {"reasons": reasons(self), "doubts": [*unsure(self.looks), *doubts(self)]}
        return asdict(self) | {name: [asdict(one) for one in texts] for name, texts in said.items()}


def advise(
    store: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    needs: Needs | None = None,
    *,
    images: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Advice:
    """Find out by short trials which way of training a task needs; `task.task_text` writes it down.

    All candidates are trained for the same epochs on the same folds and seeds, each run apart, as in `distill.compare`. What was
    finished when the trials were interrupted is kept, and the same call goes on, with the version of the store that the trials
    began with; a warning and a remark say so.

    Args:
        store: path of a store.
        directory: of the trials; a new or empty one, or one that was begun for the same needs.
        needs: what the line needs.
        images: the image folder, where it is not where the store remembers it.
        jobs: runs that train at the same time.
        progress: called with a stage, and how far that is.

    Raises:
        SettingsError: a need can't be met, no candidate fits, the time is too short, or the trials are others'.
        TrainingError: the store can't be learned from, or no longer has the version that the trials began with, or a run failed.
    """
    refuse_ranks("distill.advise")
    needs, path, place = needs or Needs(), Path(store), Path(directory)
    if jobs < 1:
        raise SettingsError(f"The number of jobs is {jobs}; expected 1 or more.")
    tell, folder = progress or (lambda *_: None), None if images is None else Path(images)
    tell(LOOKING, 0, 1)
    with opened_store(path, begun_version(place)) as opened:
        base = Settings(good=needs.good, overkill=needs.overkill, views=opened.views)
        data = make_run_data(opened, base)  # refuses what the training after the trials would refuse
        learned = trials.testable_folds(opened, base)
        candidates = chosen_candidates(needs.ways, good=needs.good)
        ways = {one.name: one.chosen(base, opened.teacher) for one in candidates}
        request = _request(opened, needs, ways)
        looks, version = look(opened, needs.good), opened.version
        tell(LOOKING, 1, 1)
        asked = next((ways[one.name] for one in candidates if one.alone), base)
        with TrialPatches(opened, asked, folder) as patches:
            agreed = read_agreed(place, request)
            if agreed is None:
                basis = Basis(opened, needs, candidates, ways, data, learned, patches, folder, jobs, tell)
                agreed = plan_all(basis, request)
                write_agreed(place, agreed)
            plan = agreed.plan
            tried = [one for one in candidates if one.name in agreed.footprints]
            said = {}
            if any(one.alone for one in tried):
                said = patches.said_in(place, plan.folds, plan.seeds, lambda *far: tell(LEARNING_PATCHES, *far))
    trained, remarks = trials.run_trials(
        path,
        place,
        trained_ways(tried, ways),
        plan,
        images=folder,
        jobs=jobs,
        progress=lambda *far: tell(TRYING, *far),
        version=version,
    )
    runs = []
    for one in tried:
        own = [run for run in trained if run.policy == one.trained]
        runs += with_patches(own, said, needs.good or "", one.name) if one.alone else own
    decision = decide(
        runs,
        [one.name for one in tried],
        good=needs.good,
        overkill=needs.overkill,
        no_escape=needs.escape is not None,
        beside={one.name: one.trained for one in tried if one.alone},
    )
    training, pace = len(data.sides["train"]), agreed.paces[decision.chosen]
    epochs = trials.training_epochs(pace, training, needs.train_minutes)
    return Advice(
        settings=_final(ways[decision.chosen], decision, epochs),
        needs=needs,
        looks=looks,
        tried=tried,
        left_out=agreed.left_out,
        footprints=agreed.footprints,
        paces=agreed.paces,
        decision=decision,
        plan=plan,
        learned=learned[plan.folds],
        training=training,
        minutes=trials.trained_minutes(trained),
        training_minutes=pace.seconds(epochs, training) / 60,
        remarks=remarks,
    )


def _request(store: EmbeddingStore, needs: Needs, ways: Mapping[str, Settings]) -> dict[str, Any]:
    """Return all that the trials hang on."""
    asked = {name: value for name, value in needs.to_dict().items() if name != "ways"}
    settings = {name: one.to_dict() for name, one in ways.items()}
    of_store = {"store": store.fingerprint, "version": store.version, "contents": contents_of(store)}
    return {**of_store, **asked, "ways": settings}


def _final(settings: Settings, decision: Decision, epochs: int) -> Settings:
    """Return the settings of the training that is advised.

    Where no defect may pass, its threshold is set for the overkill that this cost in the trials, `MOST_OVERKILL` at most.
    """
    if decision.figure != NO_ESCAPE:
        return replace(settings, epochs=epochs)
    reached = decision.standing(decision.chosen).deciding.value
    assert reached is not None  # noqa: S101  a way without the figure is never chosen
    return replace(settings, epochs=epochs, overkill=min(MOST_OVERKILL, math.ceil(1000 * reached) / 1000))
