"""The command ``impulse``: responses to changes of a FASTA, as tracks, table and page."""
