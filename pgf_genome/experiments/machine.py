"""The machine that an experiment runs on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from pgf_genome import __version__
from pgf_genome.process import usable_cores


def memory_bytes() -> int:
    """Return the memory of the machine, or of the container if that is less."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    stated = limit.read_text().strip() if limit.exists() else "max"
    return min(physical, int(stated)) if stated.isdigit() else physical


def describe(device: str, packages: Sequence[str]) -> str:
    """Describe the machine in one line: processor, cores, memory, accelerator, versions."""
    parts = [f"{_cpu()}, {usable_cores()} cores, {memory_bytes() / 2**30:.0f} GiB"]
    if device.startswith("cuda"):
        parts.append(torch.cuda.get_device_name(device))
    versions = [f"pgf-genome {__version__}", f"Python {platform.python_version()}"]
    return "; ".join([*parts, ", ".join([*versions, *filter(None, map(_installed, packages))])])


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    text = facts.read_text() if facts.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return name[1].strip() if name else platform.processor() or platform.machine()


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""
