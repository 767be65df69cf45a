"""Triage: what people say of samples goes back into the store, is seen by the next summary, and can be undone."""

from embedstore.triage.change import Change
from embedstore.triage.decisions import plan_triage, triage
from embedstore.triage.undoing import last_undoable, plan_undo, refuse_newer_samples, undo
from embedstore.verdicts import KINDS, VERDICT, Verdict

__all__ = [
    "KINDS",
    "VERDICT",
    "Change",
    "Verdict",
    "last_undoable",
    "plan_triage",
    "plan_undo",
    "refuse_newer_samples",
    "triage",
    "undo",
]
