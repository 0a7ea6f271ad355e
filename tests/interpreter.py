"""Tests of the Triton kernels, which need a CUDA device or another process that interprets them.

Whether Triton compiles a kernel or interprets it, on CPU tensors, is settled when it is first
imported, and torch may have done that before.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

# This is the process that interprets.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

without_triton = importlib.util.find_spec("triton") is None
on_device = [
    pytest.mark.gpu,
    pytest.mark.skipif(without_triton, reason="Triton is not installed on this platform"),
    pytest.mark.skipif(
        not (torch.cuda.is_available() or INTERPRETED), reason="there is no CUDA device"
    ),
]
starts_interpreter = pytest.mark.skipif(
    without_triton or INTERPRETED, reason="Triton is not installed, or interprets already"
)


def assert_passes_interpreted(file: str, *options: str) -> None:
    """Run the tests of a file that are marked ``gpu``, in a process that interprets kernels."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "gpu", "-p", "no:cacheprovider"]
    interpreted = subprocess.run(
        [*command, *options, file],
        env=os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert interpreted.returncode == 0, interpreted.stdout[-4000:]
