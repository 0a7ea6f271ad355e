"""``attribute`` from end to end: sequence in, tracks, report and ``run.json`` out.

The folder has the name of what it makes, because ``pgf_genome.attribute`` is the function itself.
"""

from pgf_genome.attribution.options import Options
from pgf_genome.attribution.run import attribute, dry_run

__all__ = ["Options", "attribute", "dry_run"]
