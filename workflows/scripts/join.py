"""Join the scored parts of a VCF to one, in its own order."""

import json
import sys
from pathlib import Path
from typing import Any

from pgf_genome.effects.parts import GROUPS, join
from pgf_genome.errors import PgfError


def main(snakemake: Any) -> None:
    groups = json.loads((Path(snakemake.input.folder) / GROUPS).read_text())
    try:
        join(snakemake.input.vcf, groups, snakemake.input.parts, snakemake.output.vcf)
    except PgfError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    with open(snakemake.log[0], "w") as sys.stderr:  # noqa: F821 - Snakemake puts it there
        main(snakemake)  # noqa: F821
