"""Certificates: what a run computed is computed again, otherwise, at places drawn from it.

Every item of a certificate is a function that returns a `Check`. None looks at more than a few
places, so that a certificate takes seconds, however long the genome is; what is wrong everywhere is
wrong there too, and what is wrong at a few other places only is not found.
"""
