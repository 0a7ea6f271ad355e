# What people look at: a report of every genome, and a table of them all.


rule report:
    input:
        run=f"{OUT}/{{genome}}.run.json",
        fasta=f"{WORK}/{{genome}}.fa",
        fai=f"{WORK}/{{genome}}.fa.fai",
    output:
        report(
            f"{OUT}/{{genome}}.report.html",
            caption="../report/genome.rst",
            category="Genomes",
            labels={"genome": "{genome}"},
        ),
    log:
        f"{OUT}/logs/report/{{genome}}.log",
    conda:
        "../envs/pgf-genome.yaml"
    resources:
        **slurm(),
        mem_mb=2000,
    params:
        prefix=subpath(input.run, strip_suffix=".run.json"),
    shell:
        "pgf-genome report {params.prefix:q} --fasta {input.fasta:q} 2> {log:q}"


rule summary:
    input:
        runs=expand(f"{OUT}/{{genome}}.run.json", genome=SAMPLES),
        statistics=expand(f"{OUT}/{{genome}}.statistics.json", genome=SAMPLES),
    output:
        tsv=f"{OUT}/summary.tsv",
        html=report(
            f"{OUT}/summary.html", caption="../report/summary.rst", category="Summary"
        ),
    log:
        f"{OUT}/logs/summary.log",
    conda:
        "../envs/pgf-genome.yaml"
    params:
        genomes=list(SAMPLES),
        prefixes=expand(f"{OUT}/{{genome}}", genome=SAMPLES),
    script:
        "../scripts/summary.py"
