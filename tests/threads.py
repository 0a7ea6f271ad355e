"""How many threads a test runs in."""

from __future__ import annotations

from contextlib import contextmanager

import torch


@contextmanager
def threads_as_before():
    """Sets torch's threads, until the end."""
    before = torch.get_num_threads()
    try:
        yield torch.set_num_threads
    finally:
        torch.set_num_threads(before)
