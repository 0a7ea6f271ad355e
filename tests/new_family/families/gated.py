"""A family that this version does not know: causal models with the mixer beside this folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pgf_genome.mamba.mixers.gated import GatedConfig

from pgf_genome.checkpoints.family import Family, Stored, StoredMixer
from pgf_genome.mamba.config import MambaConfig


def read_mixer(stored: Stored, prefix: str, d_model: int) -> GatedConfig:
    (d_inner,) = stored.shape(f"{prefix}mu", 1)
    return GatedConfig(d_inner=stored.configuration.check("cells", d_inner), d_state=1)


@dataclass(frozen=True)
class GatedFamily(Family):
    def facts(self, config: MambaConfig) -> dict[str, Any]:
        return {"gates": 3 * config.mixer.d_inner}


FAMILY = GatedFamily(
    name="gated",
    title="gated models",
    architectures={"gated": {"GatedForCausalLM"}},
    mixers=(StoredMixer("gated", {"gated"}, "mu", read_mixer),),
)
