"""Bidirectional models over a sequence of any length, layer by layer, exactly.

Every layer of such a model needs the whole of the layer before, so nothing streams through the
stack. But each *mixer* is a causal recurrence in its own direction of reading. Over one layer both
run tile by tile, towards each other, and so do their adjoints, which go the other way:

    forth   y_k, s_{k+1} = M(norm(h_k), s_k)
    back    replay tile k from s_k with a tape; (g_k, l_k) = vjp with cotangents (y_bar_k, l_{k+1})

Where a sweep comes to a tile first it leaves its share; the one that comes second joins both, so
that a layer is (L, D) numbers in and (L, D) numbers out. They lie in a `Store`: in memory, or in
files that make memory constant. The states at the boundaries of tiles lie there too. What a
record holds does not depend on threads, on the kind of store, or on where a killed run went on.
"""
