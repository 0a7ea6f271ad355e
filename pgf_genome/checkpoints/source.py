"""Model sources: a bundled name, a directory, or a model on the hub."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from pgf_genome.checkpoints.choices import bundled_models
from pgf_genome.checkpoints.hub import HubId, fetch, snapshot_of
from pgf_genome.errors import ModelError


@dataclass(frozen=True)
class Source:
    """The place of a checkpoint.

    Attributes
    ----------
    directory : Path
    name : str
        What to call it: bundled name, directory name, or ``org/name``.
    origin : dict
        ``repo``, ``commit`` and ``licence`` of a model from the hub.
    """

    directory: Path
    name: str
    origin: dict[str, str | None] = field(default_factory=dict)


def resolve_source(source: str | Path) -> Source:
    """Find the directory that a model source means.

    A string that is a bundled name means the bundled model even if a directory of that name is
    at hand (write ``./NAME`` for the directory); a Path always means a directory, and so does a
    string if there is such a directory. Other strings ``org/name`` or ``org/name@revision`` are
    hub ids: looked for in the local cache, then downloaded if that is possible.

    Raises
    ------
    ModelError
        If the source is none of these, or the hub's model cannot be had.
    """
    if not isinstance(source, str | PathLike):
        raise ModelError(f"`model` must be a name or a directory, not {source!r}")
    bundled = bundled_models()
    if isinstance(source, str) and source in bundled:
        return Source(bundled[source], source)
    path = Path(source)
    if path.is_dir():
        return Source(snapshot_of(path) or path, path.resolve().name)
    if path.exists():
        raise ModelError(f"{path} is a file: give the directory that holds config.json")
    hub_id = HubId.parse(source) if isinstance(source, str) else None
    if hub_id is None:
        raise ModelError(
            f"{source} is neither a bundled model ({', '.join(bundled) or 'none installed'}) "
            "nor a directory nor a hub id"
        )
    found = fetch(hub_id)
    origin = {"repo": found.repo, "commit": found.commit, "licence": found.licence}
    return Source(found.path, found.repo, origin)
