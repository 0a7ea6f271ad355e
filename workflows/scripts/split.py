"""Deal the records of a VCF out by contig, to parts that are scored side by side."""

import sys
from pathlib import Path
from typing import Any

from pgf_genome.effects.parts import split
from pgf_genome.errors import PgfError


def main(snakemake: Any) -> None:
    fields = (line.split("\t") for line in Path(snakemake.input.fai).read_text().splitlines())
    lengths = {name: int(length) for name, length, *_ in fields}
    folder = Path(snakemake.output.parts)
    folder.mkdir(parents=True)
    try:
        split(snakemake.input.vcf, lengths, snakemake.params.group_bases, folder)
    except PgfError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    with open(snakemake.log[0], "w") as sys.stderr:  # noqa: F821 - Snakemake puts it there
        main(snakemake)  # noqa: F821
