"""Retuning on a schedule: is it due, what is better today, and does it serve."""

from autoreg.retune.flow import RetuneResult, retune

__all__ = ["RetuneResult", "retune"]
