"""Trials in this process, for all tests of advice that train."""

from toy_advice import in_this_process

__all__ = ["in_this_process"]
