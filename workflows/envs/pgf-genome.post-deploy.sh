# The program itself, beside its dependencies: a checkout or a wheel, by default the checkout in
# which the workflow lies (rules/common.smk).
pip install --no-deps --no-build-isolation "$PGF_GENOME_SOURCE"
