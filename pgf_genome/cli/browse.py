"""``pgf-genome browse``."""

from __future__ import annotations

import logging
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pgf_genome.cli.common import Command, logged, under
from pgf_genome.cli.values import FilePath, RunPrefix
from pgf_genome.errors import UsageError
from pgf_genome.files import require_folder
from pgf_genome.workspace import claimed

if TYPE_CHECKING:
    from pgf_genome.browser import Scene

log = logging.getLogger("pgf_genome")


shown, served = under("What is shown"), under("Where it is shown")


@click.command(
    cls=Command,
    short_help="Open a finished run in a genome browser.",
    examples=(
        "pgf-genome browse out/chr1",
        "pgf-genome browse out/chr1 --gff genes.gff3 --region chr1:1,001-2,000 --serve",
        "pgf-genome browse out/chr1 --genome hg38 --email me@lab.org",
    ),
)
@click.argument("prefix", type=RunPrefix())
@shown("--fasta", type=FilePath(), help="The run's sequence [the path that it read].")
@shown("--gff", type=FilePath(), help="Annotation to show: GFF3, GTF or BED [that of the run].")
@shown("--chrom-alias", type=FilePath(), help="Table by which contigs of --gff are those of the "
       "run [that of the run].")  # fmt: skip
@shown("-r", "--region", help="Region to open, 1-based: chr1:1,001-2,000 [around the strongest "
       "position].")  # fmt: skip
@shown("--genome", metavar="NAME", help="The assembly's name at UCSC, such as hg38.")
@shown("--email", metavar="ADDRESS", help="Your address, for the track hub that UCSC reads; goes "
       "with --genome.")  # fmt: skip
@served("--serve", is_flag=True, help="Serve the run as a local web page until Ctrl-C.")
@served("--port", type=click.IntRange(0, 65535), metavar="N", default=0,
        help="Port of the page [any free one].")  # fmt: skip
@served("--no-open", is_flag=True, help="Print the page's address, but open no browser.")
@served("--igv-js", type=FilePath(), help="Path of igv.min.js [node_modules/igv/dist, here or in "
        "a folder above].")  # fmt: skip
@logged
def browse(
    prefix: str,
    fasta: str | None,
    gff: str | None,
    chrom_alias: str | None,
    region: str | None,
    genome: str | None,
    email: str | None,
    serve: bool,
    port: int,
    no_open: bool,
    igv_js: str | None,
) -> None:
    """Write sessions for genome browsers beside the tracks of a finished run, or show it here.

    With --serve a page with igv.js opens, which shows the reference, every track, and contribution
    as letters. The page and the run's files, and no others, are served to this machine alone
    (127.0.0.1). From a remote machine, forward the port: ssh -L PORT:127.0.0.1:PORT. igv.js is not
    part of this program; npm install igv fetches it.

    \b
    Writes
      PREFIX.igv.json                      igv.js
      PREFIX.igv.xml, PREFIX.genome.json   IGV desktop
      PREFIX.jbrowse.json                  JBrowse 2
      PREFIX.tracks.ini                    pyGenomeTracks
      PREFIX.hub.txt                       UCSC track hub, with --genome and --email
      PREFIX.genes.bed                     genes and other features, with --gff
      PREFIX.fasta.fai, PREFIX.fasta.gzi   indexes of the FASTA, where it needs them
      PREFIX.fasta.gz                      the FASTA in bgzip, where it is in plain gzip
    """
    if not serve and (port or no_open or igv_js):
        raise UsageError("--port, --no-open and --igv-js are for --serve; give it too")
    if email is not None and (genome is None or "@" not in email):
        raise UsageError("--email is an address, and goes with --genome")
    from pgf_genome.browser import find_library, read_scene, write_sessions
    from pgf_genome.runs.run import open_run

    library = find_library(igv_js, Path.cwd())
    if not Path(f"{prefix}.run.json").exists():
        open_run(prefix)  # which says so
    require_folder(Path(prefix).parent, "prefix")
    with claimed(prefix):
        scene = read_scene(prefix, fasta, gff, region, genome, email, chrom_alias)
        written = write_sessions(scene)
    log.info("wrote %s", ", ".join(map(str, written)))
    if serve:
        _serve(scene, library, port, no_open)


def _serve(scene: Scene, library: Path | None, port: int, no_open: bool) -> None:
    from pgf_genome.browser import LocalServer, page_routes

    if library is None:
        log.warning("igv.js is not here: npm install igv, or name igv.min.js with --igv-js")
    with LocalServer(page_routes(scene, library), port) as server:
        click.echo(server.url)
        sys.stdout.flush()
        log.info("serving %s to this machine until Ctrl-C", scene.name)
        if not no_open:
            webbrowser.open(server.url)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
