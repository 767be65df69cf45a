"""What a line needs: what may be rejected or missed, how long may be trained, what the terminal can carry."""

from dataclasses import asdict, dataclass
from typing import Any

from embedstore.errors import SettingsError

MOST_OVERKILL = 0.5  # that a threshold can be set for
_LONG = 1_000_000.0  # minutes, megabytes, milliseconds


@dataclass(frozen=True)
class Needs:
    """What a line needs.

    Attributes:
        good: the label of good parts; escapes and overkill need it. None: the recall of each label counts.
        overkill: share of good parts that may be rejected.
        escape: share of defects that may pass, instead of the overkill; only 0 can be asked for.
        minutes: that the trials may take.
        train_minutes: that the training which follows may take on this machine; None: what `trials.EPOCHS` epochs take.
        max_megabytes: of the student's weights at the terminal, and of patches where they are asked.
        max_milliseconds: for one picture at the terminal, with one thread.
        ways: the candidates to try, by name; none stands for all.

    Raises:
        SettingsError: a number is out of range, or no defect may pass and no label is that of good parts.
    """

    good: str | None = None
    overkill: float = 0.05
    escape: float | None = None
    minutes: float = 20.0
    train_minutes: float | None = None
    max_megabytes: float | None = None
    max_milliseconds: float | None = None
    ways: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.overkill <= MOST_OVERKILL:
            raise SettingsError(f"The overkill is {self.overkill}; expected 0 to {MOST_OVERKILL}.")
        for name, value in (
            ("number of minutes for the trials", self.minutes),
            ("number of minutes for the training", self.train_minutes),
            ("limit in megabytes", self.max_megabytes),
            ("limit in milliseconds", self.max_milliseconds),
        ):
            if value is not None and not 0 < value <= _LONG:
                raise SettingsError(f"The {name} is {value}; expected a number above 0, up to {_LONG:,.0f}.")
        if self.escape is None:
            return
        if self.escape != 0:
            raise SettingsError(
                f"The escape is {self.escape}; only 0 can be asked for, which lets no defect of the trials pass. For any other "
                "balance of escapes and rejects, state the overkill."
            )
        if self.good is None:
            raise SettingsError(
                "That no defect may pass was asked for, but not which label is good; name it: --good LABEL"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)
