"""The same as `embedstore.verdicts`, for modules that still name it here."""

from embedstore.verdicts import KINDS, VERDICT, Verdict

__all__ = ["KINDS", "VERDICT", "Verdict"]
