"""What is compared: each a name, a way to fit it, and whether it draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from prototype_parts import rarity
from prototype_parts.codes import few_bits, few_bits_in_bytes_of, principal_components, product_quantised
from prototype_parts.distribution import around_prototypes, class_distribution, good_distribution, shared_axes
from prototype_parts.figures import Fit
from prototype_parts.making import as_it_is, of_each_label, own
from prototype_parts.pictures import Side
from prototype_parts.rarity import todays_mixture
from prototype_parts.readers import probe, probe_of_distribution, probe_of_prototypes
from prototype_parts.scorers import Nearest, nearest
from prototype_parts.sizes import RULES

COUNTS = (8, 32, 64, 128, 256, 512)  # plain prototypes in all, good and defect, which say the bytes of a budget
CHOICES = (32, 128)  # at which choices inside of a strategy are tried
BASELINE, DISTRIBUTION = "sub-prototypes", "class-distribution"
CHOOSING = {"medoids": True, "k-centre": False, "herding": False, "random-samples": True}  # whether they draw


@dataclass(frozen=True)
class Condition:
    """One summary, read in one way.

    Attributes:
        part: of the study: `curve`, a summary against bytes; `rare score`, `division`, `bits`, `distribution`, choices
            inside; `softness` and `fitted probe`, other ways to read a summary; `reference`, what the space allows.
        summary: what is kept.
        parameters: its settings.
        fit: makes it.
        draws: whether it hangs on a seed.
    """

    part: str
    summary: str
    parameters: Mapping[str, Any]
    fit: Fit = field(repr=False)
    draws: bool = False

    @property
    def name(self) -> str:
        """What it is called in the record."""
        told = [f"{key} {value}" for key, value in self.parameters.items()]
        return ", ".join([self.summary, *told])


def baseline(count: int) -> Condition:
    """Return plain k-means with so many prototypes in all, as many of each label: what all is held against."""
    fit = partial(nearest, make=partial(of_each_label, strategy=BASELINE, count=count))
    return Condition("curve", BASELINE, {"prototypes": count}, fit, draws=True)


def probed_baseline(count: int) -> Condition:
    """Return the same k-means read by a probe that is fitted to it."""
    fit = partial(nearest, make=partial(of_each_label, strategy=BASELINE, count=count))
    return _probed(BASELINE, {"prototypes": count}, fit, draws=True)


def everything() -> Condition:
    """Return every sample, as stored: what a summary may lose against."""
    return Condition("curve", "own", {}, partial(nearest, make=own))


def rivals(condition: Condition, count: int) -> dict[str, Condition]:
    """Return what a condition of as many bytes as `count` plain prototypes is held against.

    That is k-means, read by a probe too where the condition is, and every sample. A distribution is read in a way of its
    own, so it is held against k-means in both.
    """
    probed = condition.part == "fitted probe"
    found = {BASELINE: probed_baseline(count) if probed else baseline(count)}
    if not probed and (condition.part == "distribution" or condition.summary == DISTRIBUTION):
        found[f"{BASELINE}, read by probe"] = probed_baseline(count)
    return {**found, "own": everything()}


def all_conditions(students: Mapping[str, float] | None, quick: bool) -> Iterator[Condition]:
    """Yield everything, the curves first; `students` are scores of a student by id, for one choice of rare samples."""
    yield from _references()
    yield from _prototypes_by_bytes((8, 32, 128) if quick else COUNTS)
    yield from _codes(quick)
    if not quick:
        yield from _rare_scores(students)
        yield from _divisions()
        yield from _bits()
        yield from _distributions()
        yield from _softness()
        yield from _fitted_probes()


def _references() -> Iterator[Condition]:
    yield Condition("curve", "class-mean", {}, partial(nearest, make=partial(as_it_is, strategy="class-mean")))
    weighted = partial(as_it_is, strategy="confident means")
    yield Condition("curve", "class-mean", {"weighted by": "teacher confidence"}, partial(nearest, make=weighted))
    yield everything()
    yield Condition("reference", "linear probe", {}, probe)


def _prototypes_by_bytes(counts: tuple[int, ...]) -> Iterator[Condition]:
    yield from map(baseline, counts)
    for name, draws in CHOOSING.items():
        for count in counts:
            chosen = partial(of_each_label, strategy=name, count=count)
            yield Condition("curve", name, {"prototypes": count}, partial(nearest, make=chosen), draws)
    for share in (1.0, 0.5, 0.25):
        for count in counts:
            mixed = partial(todays_mixture, count=count, share=share)
            told = {"share": share, "prototypes": count}
            yield Condition("curve", "rare-samples", told, partial(nearest, make=mixed), draws=True)
    for count in counts:
        yield Condition("curve", DISTRIBUTION, {"vectors": count}, partial(class_distribution, count=count))
    for name in (BASELINE, "rare-samples"):
        default = partial(as_it_is, strategy=name)
        yield Condition("curve", name, {"settings": "default"}, partial(nearest, make=default), draws=True)


def _codes(quick: bool) -> Iterator[Condition]:
    for bits in (1, 2, 4, 8):
        yield Condition("curve", "own, few bits", {"bits": bits}, partial(few_bits, make=own, bits=bits))
    for whole_bytes, number in ((False, "float16"), (True, "int8")):
        for rank in (32, 128) if quick else (8, 16, 32, 64, 128, 256):
            fit = partial(principal_components, rank=rank, whole_bytes=whole_bytes)
            yield Condition("curve", "own, principal components", {"rank": rank, "as": number}, fit)
    for bits in (4,) if quick else (4, 8):
        for code in (8, 32) if quick else (8, 16, 32, 64):
            fit = partial(product_quantised, code=code, bits=bits)
            yield Condition("curve", "own, product quantised", {"bytes": code, "bits": bits}, fit, draws=True)


def _rare_scores(students: Mapping[str, float] | None) -> Iterator[Condition]:
    for score in rarity.SCORES:
        for count in CHOICES if score != "disagreement" or students is not None else ():
            mixed = partial(rarity.mixture, count=count, share=0.5, score=score, students=students)
            told = {"score": score, "prototypes": count}
            yield Condition("rare score", "half k-means, half rare", told, partial(nearest, make=mixed), draws=True)


def _divisions() -> Iterator[Condition]:
    for rule in RULES[1:]:
        for count in (32, 64, 128, 256):
            for name in (BASELINE, "random-samples"):
                chosen = partial(of_each_label, strategy=name, count=count, rule=rule)
                told = {"divided by": rule, "prototypes": count}
                yield Condition("division", name, told, partial(nearest, make=chosen), draws=True)
            mixed = partial(todays_mixture, count=count, share=0.5, rule=rule)
            halves = {"share": 0.5, "divided by": rule, "prototypes": count}
            yield Condition("division", "rare-samples", halves, partial(nearest, make=mixed), draws=True)


def _bits() -> Iterator[Condition]:
    for bits in (1, 2, 4, 8):
        for count in (8, 32, 64, 128):
            fit = partial(few_bits_in_bytes_of, strategy=BASELINE, count=count, bits=bits)
            yield Condition("bits", BASELINE, {"bits": bits, "bytes of": count}, fit, draws=True)


def _distributions() -> Iterator[Condition]:
    name = DISTRIBUTION
    for count in COUNTS[1:]:
        yield Condition("distribution", name, {"axes": "shared", "vectors": count}, partial(shared_axes, count=count))
        of_good = partial(good_distribution, count=count // 2)
        yield Condition("distribution", name, {"of": "good alone", "vectors": count // 2}, of_good)
    for count in CHOICES:
        for rule in ("size", "defects"):
            fit = partial(class_distribution, count=count, rule=rule)
            yield Condition("distribution", name, {"divided by": rule, "vectors": count}, fit)
        shrunk = partial(class_distribution, count=count, shrinkage=0.5)
        yield Condition("distribution", name, {"shrinkage": 0.5, "vectors": count}, shrunk)
    for count in (32, 128, 256):
        for means in (count // 8, count // 2):  # of both labels together; the rest are axes
            rank, told = (count - means) // 2, {"prototypes": means, "axes": count - means}
            for summary, make in (
                (BASELINE, partial(of_each_label, strategy=BASELINE, count=means)),
                ("rare-samples", partial(todays_mixture, share=0.5, count=means)),
            ):
                fit = partial(around_prototypes, make=make, rank=rank)
                yield Condition("distribution", f"{summary}, with axes", told, fit, draws=True)


def _softness() -> Iterator[Condition]:
    for softness in (0.05, 0.1):
        for count in CHOICES:
            make = partial(of_each_label, strategy=BASELINE, count=count)
            told = {"softness": softness, "prototypes": count}
            yield Condition("softness", BASELINE, told, partial(nearest, make=make, softness=softness), draws=True)
        yield Condition("softness", "own", {"softness": softness}, partial(nearest, make=own, softness=softness))


def _fitted_probes() -> Iterator[Condition]:
    yield _probed("class-mean", {}, partial(nearest, make=partial(as_it_is, strategy="class-mean")), False)
    for count in (8, 32, 128, 512):
        yield probed_baseline(count)
        for name, draws in CHOOSING.items():
            chosen = partial(of_each_label, strategy=name, count=count)
            yield _probed(name, {"prototypes": count}, partial(nearest, make=chosen), draws)
        mixed = partial(todays_mixture, count=count, share=0.5)
        yield _probed("rare-samples", {"share": 0.5, "prototypes": count}, partial(nearest, make=mixed), True)
        drawn = partial(probe_of_distribution, count=count)
        told = {"read by": "probe", "vectors": count}
        yield Condition("fitted probe", DISTRIBUTION, told, drawn, draws=True)
    for bits in (1, 2):
        yield _probed("own, few bits", {"bits": bits}, partial(few_bits, make=own, bits=bits), False)
    yield _probed("own", {}, partial(nearest, make=own), False)


def _probed(summary: str, told: Mapping[str, Any], fit: Callable[[Side, int], Nearest], draws: bool) -> Condition:
    told = {"read by": "probe", **told}
    return Condition("fitted probe", summary, told, partial(probe_of_prototypes, fit=fit), draws)
