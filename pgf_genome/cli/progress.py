"""Progress on stderr: a bar on a terminal, else a plain line every half minute."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from tqdm import tqdm

PERIOD = 30.0


class Progress:
    """Progress display: call it with what was done since the last call, and with all there is.

    A context manager, which closes the bar.

    Parameters
    ----------
    unit : str
        What is counted.
    """

    def __init__(self, unit: str = "bp") -> None:
        self._unit = unit
        self._quiet = not logging.getLogger("pgf_genome").isEnabledFor(logging.INFO)
        self._bar: tqdm | None = None
        self._done, self._started, self._spoken = 0.0, time.monotonic(), time.monotonic()

    def __call__(self, done: float, total: float) -> None:
        if self._quiet:
            return
        self._done += done
        if sys.stderr.isatty():
            self._draw(done, total)
        elif self._done and time.monotonic() - self._spoken > PERIOD:  # else no rate is known
            self._spoken = time.monotonic()
            print(self._line(total), file=sys.stderr, flush=True)

    def _draw(self, done: float, total: float) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(total=total, unit=self._unit, unit_scale=True, smoothing=0.05)
        self._bar.update(done)

    def _line(self, total: float) -> str:
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        left = int((total - self._done) / max(rate, 1e-9))
        speed = f"{rate / 1e3:.2f} k" if rate >= 1e3 else f"{rate:.2f} "
        clock = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
        return (
            f"{self._done:,.0f} of {total:,.0f} {self._unit} "
            f"({100 * self._done / max(total, 1):.1f} %), {speed}{self._unit}/s, {clock} left"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
