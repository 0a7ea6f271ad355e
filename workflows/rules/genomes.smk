# A local copy of every genome: decompressed, one line to a record, with an index, so that a group of
# contigs is read without the rest. It is removed when the genome is done.


rule download:
    output:
        temp(f"{WORK}/{{genome}}.download"),
    log:
        f"{OUT}/logs/download/{{genome}}.log",
    retries: 3
    conda:
        "../envs/download.yaml"
    params:
        url=lambda wildcards: SAMPLES[wildcards.genome]["fasta"],
    shell:
        "curl --fail --silent --show-error --location --retry 3"
        " --output {output:q} {params.url:q} 2> {log:q}"


rule genome:
    input:
        fasta=fasta,
    output:
        fasta=temp(f"{WORK}/{{genome}}.fa"),
        fai=temp(f"{WORK}/{{genome}}.fa.fai"),
    log:
        f"{OUT}/logs/genome/{{genome}}.log",
    conda:
        "../envs/pgf-genome.yaml"
    resources:
        **slurm(),
        mem_mb=1000,
    params:
        md5=lambda wildcards: SAMPLES[wildcards.genome].get("md5"),
    script:
        "../scripts/genome.py"
