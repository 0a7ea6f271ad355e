"""Memory functions and influence profiles: how far back a model remembers and its predictions look.

``closed_form.py`` treats systems that do not change with time; ``estimator.py`` measures any
features against past bases; ``layers.py`` applies it to a causal model in one streaming pass;
``influence.py`` probes predictions by the adjoint sweep. ``measurement.py`` puts them together.
"""
