"""What may be asked of `load_model`, for the command line too: nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path

BUNDLED = Path(__file__).parents[1] / "models"
DEFAULT_MODEL = "ecoli-yeast-d128"
DEFAULT_DEVICE = "cpu"
DEVICES = ("auto", "cpu", "cuda")  # and cuda:INDEX
DEFAULT_DTYPE = "float32"
DTYPES = ("float32", "float64", "bfloat16")


def bundled_models() -> dict[str, Path]:
    """The models that come with the program: name -> directory."""
    return {path.parent.name: path.parent for path in sorted(BUNDLED.glob("*/config.json"))}
