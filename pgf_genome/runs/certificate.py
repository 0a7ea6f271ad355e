"""The certificate of a run: what was checked, how closely, and what came out."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True)
class Check:
    """One item of a certificate.

    Attributes
    ----------
    name : str
    tolerance : float
        The most that ``value`` may be.
    value : float or None
        What was measured; None where nothing was, or no finite number came out.
    passed : bool or None
        None where the item says nothing of this run.
    detail : str
        What was compared, or why nothing was, in words.
    """

    name: str
    tolerance: float
    value: float | None
    passed: bool | None
    detail: str

    @classmethod
    def of(cls, name: str, tolerance: float, value: float, detail: str) -> Check:
        """The item of a measured value; one that is not finite has failed."""
        known = float(value) if isfinite(value) else None
        return cls(name, tolerance, known, known is not None and known <= tolerance, detail)

    @classmethod
    def without(cls, name: str, why: str) -> Check:
        """An item that says nothing of this run."""
        return cls(name, 0.0, None, None, why)

    @property
    def verdict(self) -> str:
        return {True: "passed", False: "FAILED", None: "not checked"}[self.passed]


@dataclass(frozen=True)
class Certificate:
    """What was checked of a run, and what came out."""

    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def passed(self) -> bool:
        return not self.failed

    def __str__(self) -> str:
        checked = sum(check.passed is not None for check in self.checks)
        if self.passed:
            return f"{checked} of {len(self.checks)} items checked, all passed"
        first = self.failed[0]
        return (
            f"{len(self.failed)} of {checked} items failed: "
            f"{', '.join(check.name for check in self.failed)} ({first.name}: {first.detail})"
        )
