# A genome is planned and its contigs are dealt out to groups, one job each; what these wrote is
# joined to what one job would have written.


rule plan:
    input:
        fasta=f"{WORK}/{{genome}}.fa",
        fai=f"{WORK}/{{genome}}.fa.fai",
        companions=companions,
    output:
        f"{WORK}/{{genome}}.plan.json",
    log:
        f"{OUT}/logs/plan/{{genome}}.log",
    retries: config["retries"]
    conda:
        "../envs/pgf-genome.yaml"
    threads: config["threads"]
    resources:
        **slurm(GPUS),
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        gpu=GPUS,
    params:
        options=plan_options,
    shell:
        "pgf-genome attribute {input.fasta:q} {params.options:q} --threads {threads} --dry-run"
        " --json > {output:q} 2> {log:q}"


checkpoint scatter:
    input:
        fai=f"{WORK}/{{genome}}.fa.fai",
        plan=f"{WORK}/{{genome}}.plan.json",
        companions=companions,
    output:
        beds=directory(f"{WORK}/{{genome}}.groups"),
    log:
        f"{OUT}/logs/scatter/{{genome}}.log",
    conda:
        "../envs/pgf-genome.yaml"
    params:
        bed=lambda wildcards: SAMPLES[wildcards.genome].get("bed"),
        targets=lambda wildcards: SAMPLES[wildcards.genome].get("target"),
        group_bases=config["group_bases"],
    script:
        "../scripts/scatter.py"


# A job that fails leaves {prefix}.pgf-work, which is no output and so is not removed: the next
# attempt, by `retries` or in another run of the workflow, goes on from there.
rule attribute:
    input:
        fasta=f"{WORK}/{{genome}}.fa",
        fai=f"{WORK}/{{genome}}.fa.fai",
        plan=f"{WORK}/{{genome}}.plan.json",
        bed=group_bed,
        companions=companions,
    output:
        run=temp(f"{WORK}/{{genome}}.{{group}}.run.json"),
        sizes=temp(f"{WORK}/{{genome}}.{{group}}.chrom.sizes"),
        tracks=temp(
            expand(
                f"{WORK}/{{{{genome}}}}.{{{{group}}}}.{{track}}.bw",
                track=config["tracks"],
            )
        ),
        peaks=temp(
            expand(f"{WORK}/{{{{genome}}}}.{{{{group}}}}.{{peaks}}", peaks=PEAKS)
        ),
    log:
        f"{OUT}/logs/attribute/{{genome}}.{{group}}.log",
    benchmark:
        f"{OUT}/benchmarks/attribute/{{genome}}.{{group}}.tsv"
    retries: config["retries"]
    conda:
        "../envs/pgf-genome.yaml"
    threads: config["threads"]
    resources:
        **slurm(GPUS),
        mem_mb=memory,
        runtime=runtime,
        gpu=GPUS,
    params:
        options=options,
        prefix=subpath(output.run, strip_suffix=".run.json"),
    shell:
        "pgf-genome attribute {input.fasta:q} --bed {input.bed:q} {params.options:q}"
        " --format bigwig --no-report --threads {threads} --out-prefix {params.prefix:q}"
        " 2> {log:q}"


rule merge:
    input:
        runs=parts(f"{WORK}/{{genome}}.{{group}}.run.json"),
        tracks=parts(f"{WORK}/{{genome}}.{{group}}.{{track}}.bw"),
        fai=f"{WORK}/{{genome}}.fa.fai",
    output:
        run=f"{OUT}/{{genome}}.run.json",
        statistics=f"{OUT}/{{genome}}.statistics.json",
        sizes=f"{OUT}/{{genome}}.chrom.sizes",
        tracks=expand(
            f"{OUT}/{{{{genome}}}}.{{track}}.{{suffix}}",
            track=config["tracks"],
            suffix=[SUFFIXES[kind] for kind in config["formats"]],
        ),
    log:
        f"{OUT}/logs/merge/{{genome}}.log",
    benchmark:
        f"{OUT}/benchmarks/merge/{{genome}}.tsv"
    conda:
        "../envs/pgf-genome.yaml"
    resources:
        **slurm(),
        mem_mb=2000,
    params:
        parts=lambda wildcards, input: [
            run.removesuffix(".run.json") for run in input.runs
        ],
        prefix=subpath(output.run, strip_suffix=".run.json"),
        formats=",".join(config["formats"]),
    shell:
        "pgf-genome merge {params.parts:q} --chrom-sizes {input.fai:q} --format {params.formats:q}"
        " --out-prefix {params.prefix:q} 2> {log:q}"
