"""Finished runs: their record in ``run.json``, their values read back, and runs joined to one."""
