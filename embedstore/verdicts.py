"""What a person may say of a sample. It is kept as the sample's attribute `verdict`, so it goes wherever attributes go."""

from dataclasses import dataclass

from embedstore.errors import SettingsError

KINDS = ("rare", "wrong-label", "dirt", "twin")
VERDICT = "verdict"  # the attribute

_WITH_VALUE = {"wrong-label": "the new label", "twin": "the id of the other"}


@dataclass(frozen=True)
class Verdict:
    """What a person says of one sample.

    rare: rare and real. `rare-samples` keeps it as a prototype, and `compressed-own` with the longer code where that says more.
    wrong-label: its label is another; or it is right, where the value is the label that it has. `suggest` leaves it out then.
    dirt: dirt, or a bad picture. It is set aside, so that nothing learns from it.
    twin: it shows the same part as another sample, so their groups become one.

    Attributes:
        kind: which of these, one of `KINDS`.
        value: the new label of `wrong-label`, without outer blanks; the other's id of `twin`, as it stands; None otherwise.

    Raises:
        SettingsError: there is no such kind, or the value is missing, blank, or one too many.
    """

    kind: str
    value: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SettingsError(f"The verdict '{self.kind}' is unknown; use one of {', '.join(KINDS)}.")
        wanted = _WITH_VALUE.get(self.kind)
        if wanted is None and self.value is not None:
            raise SettingsError(
                f"The verdict '{self.kind}' takes no value, but '{self.value}' was given; leave it out."
            )
        if wanted is not None and not (self.value or "").strip():
            raise SettingsError(f"The verdict '{self.kind}' needs {wanted}, but none was given; add it as the value.")
        if self.kind == "wrong-label":
            object.__setattr__(self, "value", (self.value or "").strip())
