# The variants of a genome are dealt out by contig, scored side by side, and joined to what one run
# would have written.


checkpoint split:
    input:
        vcf=variants_of,
        fai=f"{WORK}/{{genome}}.fa.fai",
    output:
        parts=directory(f"{WORK}/{{genome}}.variants"),
    log:
        f"{OUT}/logs/split/{{genome}}.log",
    conda:
        "../envs/pgf-genome.yaml"
    params:
        group_bases=config["group_bases"],
    script:
        "../scripts/split.py"


rule variants:
    input:
        fasta=f"{WORK}/{{genome}}.fa",
        fai=f"{WORK}/{{genome}}.fa.fai",
        vcf=variants_part,
        companions=annotation,
    output:
        vcf=temp(f"{WORK}/{{genome}}.{{group}}.variants.vcf"),
        summary=temp(f"{WORK}/{{genome}}.{{group}}.variants.summary.json"),
    log:
        f"{OUT}/logs/variants/{{genome}}.{{group}}.log",
    benchmark:
        f"{OUT}/benchmarks/variants/{{genome}}.{{group}}.tsv"
    retries: config["retries"]
    conda:
        "../envs/pgf-genome.yaml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 720 * attempt,
        gpu=GPUS,
    params:
        options=variants_options,
    shell:
        "pgf-genome variants {input.fasta:q} {input.vcf:q} {params.options:q} --threads {threads}"
        " --output {output.vcf:q} 2> {log:q}"


rule join:
    input:
        vcf=variants_of,
        folder=f"{WORK}/{{genome}}.variants",
        parts=variants_parts,
    output:
        vcf=f"{OUT}/{{genome}}.variants.vcf.gz",
    log:
        f"{OUT}/logs/join/{{genome}}.log",
    conda:
        "../envs/pgf-genome.yaml"
    script:
        "../scripts/join.py"
