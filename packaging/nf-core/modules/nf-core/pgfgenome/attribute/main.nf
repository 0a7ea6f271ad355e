process PGFGENOME_ATTRIBUTE {
    tag "$meta.id"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "pgf-genome:0.1.0"

    input:
    tuple val(meta), path(fasta)
    path model // folder of a checkpoint; [] for the bundled model

    output:
    tuple val(meta), path("*.bw")                 , emit: bigwig  , optional: true
    tuple val(meta), path("*.bedgraph.gz{,.tbi}") , emit: bedgraph, optional: true
    tuple val(meta), path("*.report.html")        , emit: report  , optional: true
    tuple val(meta), path("*.chrom.sizes")        , emit: sizes
    tuple val(meta), path("*.run.json")           , emit: run
    path "versions.yml"                           , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args   = task.ext.args ?: ''
    def prefix = task.ext.prefix ?: "${meta.id}"
    def source = model ? "--model ${model}" : ''
    """
    pgf-genome \\
        attribute \\
        ${fasta} \\
        ${source} \\
        ${args} \\
        --threads ${task.cpus} \\
        --out-prefix ${prefix}

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pgf-genome: \$(pgf-genome --version | sed 's/pgf-genome //')
    END_VERSIONS
    """

    stub:
    def prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.sensitivity.bw
    echo "" | gzip > ${prefix}.sensitivity.bedgraph.gz
    touch ${prefix}.sensitivity.bedgraph.gz.tbi
    touch ${prefix}.report.html ${prefix}.chrom.sizes ${prefix}.run.json

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pgf-genome: \$(pgf-genome --version | sed 's/pgf-genome //')
    END_VERSIONS
    """
}
