"""Models from a folder or the hub: what is in the files, whose family it is, and how to load it."""
