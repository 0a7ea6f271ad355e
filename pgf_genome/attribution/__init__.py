"""``attribute`` from end to end: sequence in, tracks, report and ``run.json`` out.

The folder has the name of what it makes, because ``pgf_genome.attribute`` is the function itself.
"""
