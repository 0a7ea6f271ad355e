# What people look at: a report of every genome, and a table of them all.


rule report:
    input:
        run=f"{OUT}/{{genome}}.run.json",
        fasta=f"{WORK}/{{genome}}.fa",
        fai=f"{WORK}/{{genome}}.fa.fai",
    output:
        page=report(
            f"{OUT}/{{genome}}.report.html",
            caption="../report/genome.rst",
            category="Genomes",
            labels={"genome": "{genome}"},
        ),
        peaks=expand(f"{OUT}/{{{{genome}}}}.{{peaks}}", peaks=PEAKS),
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
        "pgf-genome report {params.prefix:q} --fasta {input.fasta:q} -o {output.page:q} 2> {log:q}"


rule summary:
    input:
        runs=expand(f"{OUT}/{{genome}}.run.json", genome=SAMPLES),
        statistics=expand(f"{OUT}/{{genome}}.statistics.json", genome=SAMPLES),
        linked=expand(
            f"{OUT}/{{genome}}.{{name}}", genome=SAMPLES, name=["report.html", *PEAKS]
        ),
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
