# Configuration, sample sheet, and what a rule has to know of them.

import csv
import json
import os
import re
from math import ceil
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate


def check(values, schema, where):
    """Validate against a schema, and set its defaults; an error is one line."""
    try:
        validate(values, schema)
    except WorkflowError as error:
        wrong = error.__context__
        key = "".join(f"{part}: " for part in wrong.absolute_path)
        meant = wrong.schema.get("description") if key else None
        said = f"{where}: {key}{wrong.message}{f' ({meant})' if meant else ''}"
        raise WorkflowError(said) from None


check(config, "../schemas/config.schema.yaml", "configuration")


def check_model(name, where):
    """Refuse a model that is no folder, no bundled name and no id (org/name) of the hub.

    Bundled names are known where the workflow lies in a checkout; elsewhere any name may be one.
    """
    hub_id = r"[\w.-]+/[\w.-]+(@\S+)?"
    if (
        name
        and BUNDLED
        and not (name in BUNDLED or Path(name).is_dir() or re.fullmatch(hub_id, name))
    ):
        known = ", ".join(BUNDLED)
        raise WorkflowError(
            f"{where}: model: {name} is neither a folder nor a bundled name ({known})"
        )


def read_samples(path):
    """The rows of the sample sheet by genome; a cell that is empty is left out."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise WorkflowError(f"samples: {path} cannot be read ({error.strerror})")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    samples = {}
    for row in csv.DictReader(
        lines, delimiter="\t", restkey="(more cells than columns)"
    ):
        row = {column: cell for column, cell in row.items() if cell}
        where = f"{path}: genome {row.get('genome', '(none)')}"
        check(row, "../schemas/samples.schema.yaml", where)
        check_model(row.get("model"), where)
        if row["genome"] in samples:
            raise WorkflowError(f"{path}: genome {row['genome']} is listed twice")
        samples[row["genome"]] = row
    if not samples:
        raise WorkflowError(f"{path}: no genome is listed")
    return samples


CHECKOUT = Path(workflow.basedir).parent
BUNDLED = sorted(path.name for path in CHECKOUT.glob("pgf_genome/models/*"))
# what envs/pgf-genome.post-deploy.sh installs
os.environ.setdefault("PGF_GENOME_SOURCE", str(CHECKOUT))
SAMPLES = read_samples(config["samples"])
OUT = config["out"]
WORK = f"{OUT}/work"
GPUS = 1 if config["device"] == "cuda" else 0
WITH_VARIANTS = [genome for genome, sample in SAMPLES.items() if "vcf" in sample]
# runs with one of these tracks have a file of peaks
PEAKED = {"sensitivity", "contribution", "importance", "ig"}
PEAKS = ["peaks.bed"] if PEAKED & set(config["tracks"]) else []
SUFFIXES = {"bedgraph": "bedgraph.gz", "bigwig": "bw"}
# columns of the sample sheet and keys of the configuration that are options of `attribute`
OPTIONS = ("model", "objective", "target", "method", "strand", "gap_length", "context")
OPTIONS += ("device", "dtype", "tile", "window", "halo", "max_memory", "scratch_dir")
# .. and those of `variants`
VARIANTS_OPTIONS = ("model", "score", "near", "strand", "gap_length", "window", "gff")
VARIANTS_OPTIONS += ("device", "dtype", "scratch_dir")


wildcard_constraints:
    genome="|".join(map(re.escape, SAMPLES)),
    group=r"\d+",


def fasta(wildcards):
    """The FASTA of a genome: a file that is there, or what `download` fetches."""
    source = SAMPLES[wildcards.genome]["fasta"]
    return f"{WORK}/{wildcards.genome}.download" if "://" in source else source


def companions(wildcards):
    """Files that the options of a genome name."""
    sample = SAMPLES[wildcards.genome]
    files = [sample["bed"]] if "bed" in sample else []
    if Path(sample.get("target", "")).is_file():  # else it is a region
        files.append(sample["target"])
    return files


def slurm(gpu=0):
    """The account and the partition of a job, of those that the configuration names."""
    partition = config.get("slurm_gpu_partition") if gpu else None
    asked = {
        "slurm_account": config.get("slurm_account"),
        "slurm_partition": partition or config.get("slurm_partition"),
    }
    return {name: value for name, value in asked.items() if value}


def options(wildcards):
    """The options of `pgf-genome attribute` that all groups of a genome share."""
    return given(wildcards, OPTIONS) + [f"--track={','.join(config['tracks'])}"]


def given(wildcards, names):
    """Those of some options that configuration or sample sheet give, as words."""
    settings = config | SAMPLES[wildcards.genome]
    return [
        f"--{name.replace('_', '-')}={settings[name]}"
        for name in names
        if name in settings
    ]


def plan_options(wildcards):
    """The options of a run over a whole genome."""
    sample = SAMPLES[wildcards.genome]
    return options(wildcards) + ([f"--bed={sample['bed']}"] if "bed" in sample else [])


def planned(path):
    """What `attribute --dry-run --json` printed."""
    return json.loads(Path(path).read_text())


def share(plan, bed):
    """The part of a genome's bases that a group of its contigs has."""
    contigs = {line.split()[0] for line in Path(bed).read_text().splitlines()}
    bases = {True: 0, False: 0}
    for segment in planned(plan)["segments"]:
        bases[segment["contig"] in contigs] += segment["stop"] - segment["start"]
    return bases[True] / max(sum(bases.values()), 1)


def memory(wildcards, input, attempt):
    """MB of a group: what the plan says, with room to spare, and more for every retry."""
    return ceil(1.3 * planned(input.plan)["memory_bytes"] / 2**20 * attempt)


def runtime(wildcards, input, attempt):
    """Minutes of a group: twice what the plan says, and more for every retry."""
    seconds = planned(input.plan)["seconds"] * share(input.plan, input.bed)
    return ceil((10 + 2 * seconds / 60) * attempt)


def groups(wildcards):
    """The groups of contigs of a genome, once `scatter` has made them."""
    folder = checkpoints.scatter.get(genome=wildcards.genome).output.beds
    return sorted(glob_wildcards(f"{folder}/{{group}}.bed").group)


def group_bed(wildcards):
    return f"{checkpoints.scatter.get(genome=wildcards.genome).output.beds}/{wildcards.group}.bed"


def parts(pattern):
    """An input function: a file of every group of a genome."""
    return lambda wildcards: expand(
        pattern,
        genome=wildcards.genome,
        group=groups(wildcards),
        track=config["tracks"],
    )


def variants_of(wildcards):
    return SAMPLES[wildcards.genome]["vcf"]


def annotation(wildcards):
    """The annotation of a genome, if there is one."""
    return SAMPLES[wildcards.genome].get("gff", [])


def variants_options(wildcards):
    return given(wildcards, VARIANTS_OPTIONS)


def split_folder(wildcards):
    return checkpoints.split.get(genome=wildcards.genome).output.parts


def variants_part(wildcards):
    return f"{split_folder(wildcards)}/{wildcards.group}.vcf.gz"


def variants_parts(wildcards):
    """The scored parts of a VCF, once `split` has dealt it out."""
    numbers = sorted(
        glob_wildcards(f"{split_folder(wildcards)}/{{group}}.vcf.gz").group
    )
    return [f"{WORK}/{wildcards.genome}.{n}.variants.vcf" for n in numbers]
