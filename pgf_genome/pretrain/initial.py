"""Models before training."""

from __future__ import annotations

import math
from typing import cast

import torch

from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.mixers.convolved import inverse_softplus
from pgf_genome.mamba.mixers.mamba1 import Mamba1, Mamba1Config
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.vocabulary import vocabulary_of
from pgf_genome.pretrain.settings import Training
from pgf_genome.sequence import BASES

TOKENS = (*BASES, "N")
FASTEST, SLOWEST = 0.1, 1e-3  # step sizes of Gu and Dao 2023


def new_model(training: Training) -> CausalMamba:
    """A random model over A, C, G, T, N.

    Weights as in Gu and Dao 2023 (arXiv 2312.00752, section 3.6 and the original code), poles and
    step sizes by ``training.init``. A pole -n with step size delta forgets within 1 / (n delta)
    bases.
    """
    D = training.d_model
    mixer = Mamba1Config(
        d_inner=2 * D, d_state=training.d_state, d_conv=4, dt_rank=math.ceil(D / 16)
    )
    config = MambaConfig(d_model=D, n_layer=training.n_layer, vocab_rows=len(TOKENS), mixer=mixer)
    vocabulary = vocabulary_of({token: i for i, token in enumerate(TOKENS)}, len(TOKENS))
    # torch's layers draw from the global generator, which is given back as it was
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(training.seed)
        model = CausalMamba(config, vocabulary)
        _draw(model, training)
    if training.freeze_recurrent:
        for block in model.layers:
            block.mixer.A_log.requires_grad_(False)
            block.mixer.dt_proj.bias.requires_grad_(False)
    return model


def mixer_sizes(model: CausalMamba) -> Mamba1Config:
    """The sizes of the mixers of a model of `new_model`, which makes no others than Mamba-1's."""
    return cast(Mamba1Config, model.config.mixer)


def _draw(model: CausalMamba, training: Training) -> None:
    """Draw anew what torch's layers draw otherwise than Mamba's."""
    slowest = 1 / training.target_length if training.init == "long" else SLOWEST
    model.embeddings.weight.normal_(std=0.02)
    for block in model.layers:
        mixer: Mamba1 = block.mixer
        sizes = mixer.config
        poles = torch.arange(1, sizes.d_state + 1)
        mixer.A_log.copy_(poles.log().expand(sizes.d_inner, -1))
        mixer.out_proj.weight.div_(math.sqrt(training.n_layer))
        log_step = torch.empty(sizes.d_inner).uniform_(math.log(slowest), math.log(FASTEST))
        mixer.dt_proj.bias.copy_(inverse_softplus(torch.exp(log_step)))
        torch.nn.init.uniform_(mixer.dt_proj.weight, -(sizes.dt_rank**-0.5), sizes.dt_rank**-0.5)
