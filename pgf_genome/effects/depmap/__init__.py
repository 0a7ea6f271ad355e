"""The command ``depmap``: dependency maps of regions, from files to files."""
