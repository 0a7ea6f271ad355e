"""The public names for type checkers and editors, which do not see what is loaded on first use."""

from pgf_genome.attribution.in_memory import attribute_sequence as attribute_sequence
from pgf_genome.attribution.run import attribute as attribute
from pgf_genome.checkpoints.load import load_model as load_model
from pgf_genome.effects.dependency import dependency_map as dependency_map
from pgf_genome.effects.impulse import impulse as impulse
from pgf_genome.effects.substitutions import substitution_effects as substitution_effects
from pgf_genome.effects.variants import variant_effects as variant_effects
from pgf_genome.engine.arrays import adjoint as adjoint
from pgf_genome.engine.arrays import log_probs as log_probs
from pgf_genome.engine.arrays import parameter_gradient as parameter_gradient
from pgf_genome.engine.arrays import tangent as tangent
from pgf_genome.engine.objective import Entropy as Entropy
from pgf_genome.engine.objective import Likelihood as Likelihood
from pgf_genome.engine.objective import Logit as Logit
from pgf_genome.engine.objective import PseudoLikelihood as PseudoLikelihood
from pgf_genome.engine.objective import SquaredNorm as SquaredNorm
from pgf_genome.engine.path import integrated_gradients as integrated_gradients
from pgf_genome.errors import PgfError as PgfError
from pgf_genome.pretrain.settings import Training as Training
from pgf_genome.pretrain.training import train as train
from pgf_genome.runs.run import open_run as open_run
from pgf_genome.verification.finished import verify as verify

__version__: str
__all__: list[str]
