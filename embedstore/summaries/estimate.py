"""What a summary says of itself where it was not made in its space, but mapped there from another teacher's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """From which teacher a mapped summary is, and how far off, measured on parts that the map was not fitted to.

    Attributes:
        teacher: the name of the teacher whose vectors the summary was made of.
        fingerprint: of that teacher.
        map: the kind of the map; see `embedstore.teacher_change.MAPS`.
        strength: of its ridge; None where it has none.
        samples: that both teachers have embedded, and the map was fitted to.
        groups: how many parts they show.
        cosine, cosine_p5: of mapped old vectors with the new ones: mean and 5th percentile.
        cosine_of_mean: mean of the same where the mean of the new vectors is said of every sample.
        same_prototype: share of samples that the new teacher's vector puts nearest to the same prototype, mapped, as the old
            teacher's did to the true one.
        same_label: the same, where any prototype of that label will do.
    """

    teacher: str
    fingerprint: str
    map: str
    strength: float | None
    samples: int
    groups: int
    cosine: float
    cosine_p5: float
    cosine_of_mean: float
    same_prototype: float
    same_label: float

    def in_words(self) -> str:
        """Say it in one sentence."""
        return (
            f"an estimate: mapped ({self.map}) from the vectors of '{self.teacher}' by {self.samples} samples that both "
            f"teachers embedded; on parts that the map did not see, mapped and true vectors have a cosine of {self.cosine:.3f} "
            f"in the mean and {self.cosine_p5:.3f} at the 5th percentile (their mean alone {self.cosine_of_mean:.3f}), and "
            f"{self.same_prototype:.0%} of the samples keep their nearest prototype, {self.same_label:.0%} its label"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Estimate:
        """Return what `to_dict` gave.

        Raises:
            ValueError, TypeError: it is something else.
        """
        made = cls(**values)
        texts, counts = (made.teacher, made.fingerprint, made.map), (made.samples, made.groups)
        shares = (made.cosine, made.cosine_p5, made.cosine_of_mean, made.same_prototype, made.same_label)
        if not (
            all(isinstance(one, str) for one in texts)
            and all(type(one) is int for one in counts)
            and all(isinstance(one, float | int) for one in shares)
            and (made.strength is None or isinstance(made.strength, float | int))
        ):
            raise ValueError("the estimate is none")
        return made
