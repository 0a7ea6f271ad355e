"""A mixer for each direction of reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from pgf_genome.errors import ModelError
from pgf_genome.mamba.mixers.base import MixerConfig

STRATEGIES = ("add", "ew_multiply")


@dataclass(frozen=True)
class TwoWay:
    """The way a bidirectional model (Caduceus, arXiv 2403.03234) joins its directions and strands.

    Attributes
    ----------
    shared : bool
        Whether both directions of a layer have the same input and output projections.
    strategy : str
        "add" or "ew_multiply": how the outputs of the directions are joined.
    complement : tuple of int, optional
        Vocabulary row of the complement of every row, for a model that reads both strands and
        adds their outputs (Caduceus-PS); None for one that reads its input only (Caduceus-Ph).
    """

    shared: bool = True
    strategy: str = "add"
    complement: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ModelError(
                f"bidirectional_strategy {self.strategy!r} is not one of {', '.join(STRATEGIES)}"
            )
        rows = self.complement or ()
        if any(not 0 <= r < len(rows) or rows[r] != i for i, r in enumerate(rows)):
            raise ModelError("complement_map is not its own inverse")


class BothWays(nn.Module):
    """A mixer of any kind for each direction of reading (Caduceus' BiMamba)."""

    def __init__(self, mixer: MixerConfig, two_way: TwoWay, d_model: int) -> None:
        super().__init__()
        self.strategy = two_way.strategy
        self.mamba_fwd, self.mamba_rev = mixer.build(d_model), mixer.build(d_model)
        if two_way.shared:
            for name in self.mamba_fwd.shared_modules:
                setattr(self.mamba_rev, name, getattr(self.mamba_fwd, name))

    def join(self, forward: Tensor, reverse: Tensor) -> Tensor:
        """The output, from those of the two directions at the same position."""
        return forward + reverse if self.strategy == "add" else forward * reverse

    def bar(self, joined: Tensor, other: Callable[[], Tensor]) -> Tensor:
        """The cotangent of the output of one direction, from that of both joined.

        Parameters
        ----------
        other : callable
            Gives the output of the other direction, where it is needed.
        """
        return joined if self.strategy == "add" else joined * other()
