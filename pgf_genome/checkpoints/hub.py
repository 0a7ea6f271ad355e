"""Hub ids, ``org/name`` or ``org/name@revision``: the local cache first, then the network.

Layout of the cache ("Hub Local Cache" in the hub's documentation)::

    models--org--name/refs/REVISION       the commit that a branch or tag means, as text
    models--org--name/snapshots/COMMIT/   the files, mostly links to ../../blobs/*

It is read without huggingface_hub, which is imported only to download. A revision that is in the
cache is used as it is and nobody is asked whether a branch has moved on: pin a commit, or move
the branch with ``hf download``.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pgf_genome.checkpoints.files import read_json, refuse_adapter
from pgf_genome.errors import ModelError, PgfError, ResourceError

log = logging.getLogger("pgf_genome")

REPO = re.compile(r"(?!.*(?:--|\.\.))\w(?:[\w.-]*\w)?/\w(?:[\w.-]*\w)?(?<!\.git)", re.ASCII)
REVISION = re.compile(r"\w[\w.+-]*(?:/\w[\w.+-]*)*", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")

TOKENIZER = ("vocab.txt", "tokenizer.json", "vocab.json", "tokenizer_config.json")
CONTAINERS = (("model", "safetensors"), ("pytorch_model", "bin"))
CARD = "README.md"
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class HubId:
    """A model on the hub.

    Attributes
    ----------
    repo : str
        ``org/name``.
    revision : str or None
        Branch, tag or full commit hash; None means the branch ``main``.
    """

    repo: str
    revision: str | None = None

    def __post_init__(self) -> None:
        if not REPO.fullmatch(self.repo):
            raise ModelError(f"{self.repo!r} is no hub id: it must be org/name")
        if self.revision is not None and not REVISION.fullmatch(self.revision):
            raise ModelError(
                f"{self.repo}: {self.revision!r} is no revision: "
                "write a branch, a tag or all 40 characters of a commit after the @"
            )

    @classmethod
    def parse(cls, text: str) -> HubId | None:
        """Read ``org/name`` or ``org/name@revision``; None if the text is nothing of the kind.

        A relative path can look the same: the caller tries the directory first.

        Raises
        ------
        ModelError
            If a repository is followed by an impossible revision.
        """
        repo, at, revision = text.partition("@")
        return cls(repo, revision if at else None) if REPO.fullmatch(repo) else None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


@dataclass(frozen=True)
class Snapshot:
    """One commit of a hub model on disk.

    Attributes
    ----------
    path : Path
        Checkpoint directory, ``.../snapshots/COMMIT``.
    repo : str
        ``org/name``.
    commit : str
        Hash of the commit, 40 hexadecimal characters.
    licence : str or None
        As the model card states it; None if it does not, or is not there.
    """

    path: Path
    repo: str
    commit: str
    licence: str | None


def fetch(hub_id: HubId, *, offline: bool | None = None) -> Snapshot:
    """Find a hub model in the local cache, or download what this program reads of it.

    Whether it was there or not, a log line names the commit and the licence, as a warning if it
    forbids commercial use; a line before a download says what comes and how large it is.

    Parameters
    ----------
    hub_id : HubId
        Model and revision.
    offline : bool, optional
        Never use the network; by default what HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE say.

    Raises
    ------
    ModelError
        If the model is not in the cache, or not all of it, and cannot be downloaded.
    ResourceError
        If the cache cannot be written.
    """
    cache = cache_directory()
    folder = cache / f"models--{hub_id.repo.replace('/', '--')}"
    try:
        path = _complete(_locate(folder, hub_id.revision or "main"))
    except (ModelError, OSError) as absent:
        if _switched_off() if offline is None else offline:
            raise ModelError(
                f"{hub_id}: {absent}, and downloads are switched off: {_by_hand(hub_id, cache)}"
            ) from None
        path = _download(hub_id, cache, str(absent))
    snapshot = Snapshot(path, hub_id.repo, path.name, read_licence(path))
    _show_licence(snapshot)
    return snapshot


def snapshot_of(directory: Path) -> Path | None:
    """The checkpoint inside a folder of the cache, ``models--org--name``; None for others.

    It is the one that refs/main names, or else the only one there is.

    Raises
    ------
    ModelError
        If there is no such snapshot, or files of it are missing.
    """
    snapshots = directory / "snapshots"
    if not snapshots.is_dir() or (directory / "config.json").exists():
        return None
    commits = [path.name for path in snapshots.iterdir() if COMMIT.fullmatch(path.name)]
    only = len(commits) == 1 and not (directory / "refs" / "main").exists()
    try:
        return _complete(_locate(directory, commits[0] if only else "main"))
    except ModelError as error:
        raise ModelError(f"{directory}: {error}; or give one of its snapshots/*") from None


def cache_directory() -> Path:
    """Find where the hub's libraries keep models, by the environment variables that they follow."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if not given:
        caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        home = os.environ.get("HF_HOME") or os.path.join(caches, "huggingface")
        given = os.path.join(home, "hub")
    return Path(os.path.expandvars(given)).expanduser()


def read_licence(directory: Path) -> str | None:
    """The licence in the YAML head of a model card (README.md): ``license``, or for "other"
    ``license_name``; several are joined by commas. None if there is none.
    """
    try:
        text = (directory / CARD).read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None
    head = re.match(r"---[ \t]*\n(.*?)^---", text, re.DOTALL | re.MULTILINE)
    value = r"[ \t]*(.*(?:\n[ \t]*- .*)*)"
    stated = dict(re.findall(rf"^(license|license_name):{value}", head[1] if head else "", re.M))
    names = {key: re.findall(r"\w[\w.+-]*", re.sub("#.*", "", v)) for key, v in stated.items()}
    if names.get("license") == ["other"] and names.get("license_name"):
        return " ".join(names["license_name"])
    return ", ".join(names.get("license", ())) or None


def _show_licence(snapshot: Snapshot) -> None:
    licence = snapshot.licence
    restricted = licence and re.search(r"\bnc\b|non-?commercial", licence, re.IGNORECASE)
    log.log(
        logging.WARNING if restricted else logging.INFO,
        "model %s, commit %s, licence: %s",
        snapshot.repo,
        snapshot.commit,
        (licence or "not stated on a model card here, see its page on the hub")
        + (": not for commercial use" if restricted else ""),
    )


def _locate(folder: Path, revision: str) -> Path:
    """The snapshot directory that a revision means in a folder of the cache."""
    if not folder.is_dir():
        raise ModelError(f"it is not in the cache {folder.parent}")
    commit = revision if COMMIT.fullmatch(revision) else _commit(folder, revision)
    snapshot = folder / "snapshots" / commit
    if not snapshot.is_dir():
        raise ModelError(f"commit {commit} has no directory in {folder / 'snapshots'}")
    return snapshot


def _commit(folder: Path, revision: str) -> str:
    """The commit that a branch or tag means in a folder of the cache."""
    ref = folder / "refs" / revision
    if ref.is_file():
        commit = ref.read_text(encoding="utf-8", errors="replace").strip()
        if COMMIT.fullmatch(commit):
            return commit
        raise ModelError(f"{ref} is damaged: it does not hold a commit")
    refs = [str(p.relative_to(folder / "refs")) for p in folder.glob("refs/**/*") if p.is_file()]
    known = sorted(refs) + sorted(path.name for path in folder.glob("snapshots/*"))
    raise ModelError(
        f"revision {revision} is not in {folder}, which has {', '.join(known) or 'none'} "
        "(a commit is named by all its 40 characters)"
    )


def _complete(snapshot: Path) -> Path:
    """The same directory, if everything that the program reads is there."""
    names = {path.name for path in snapshot.iterdir()}
    try:
        for name in _wanted(names):
            if not (snapshot / name).exists():
                raise ModelError(f"{name} is a link to a blob that is not there")
            if name.endswith(".index.json"):
                shards = read_json(snapshot / name).get("weight_map")
                absent = set(map(str, shards.values() if isinstance(shards, dict) else ())) - names
                if absent:
                    raise ModelError(f"the shard {min(absent)} is not there")
    except ModelError as error:
        raise ModelError(f"the snapshot {snapshot} is incomplete: {error}") from None
    return snapshot


def _wanted(names: Collection[str]) -> list[str]:
    """Choose the files of a repository that make a checkpoint: no code, one form of the weights."""
    refuse_adapter(names)
    tokenizer = [name for name in TOKENIZER if name in names]
    forms = []
    for stem, suffix in CONTAINERS:
        shards = filter(re.compile(rf"{stem}-\d+-of-\d+\.{suffix}").fullmatch, names)
        forms += [[f"{stem}.{suffix}"], [f"{stem}.{suffix}.index.json", *sorted(shards)]]
    weights = next((form for form in forms if form[0] in names), [])
    expected = {"config.json": "config.json" in names, "weights": weights, "tokenizer": tokenizer}
    for what, found in expected.items():
        if not found:
            raise ModelError(f"it has no {what}")
    return ["config.json", *tokenizer, *weights]


def _download(hub_id: HubId, cache: Path, absent: str) -> Path:
    try:
        import huggingface_hub as hub
    except ImportError:
        raise ModelError(
            f"{hub_id}: {absent}; to download it, pip install 'pgf-genome[hub]', "
            f"or {_by_hand(hub_id, cache)}"
        ) from None
    revision = hub_id.revision or "main"
    try:
        info = hub.model_info(hub_id.repo, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        names = [*_wanted(sizes), *sizes.keys() & {CARD}]
        total = sum(sizes[name] or 0 for name in names)
        log.info(
            "downloading %s@%s from the hub to %s: %s, %.1f MB",
            *(hub_id.repo, revision, cache, ", ".join(names), total / 1e6),
        )
        # By its name and not by info.sha, so that refs/ learns what the name means.
        path = hub.snapshot_download(
            hub_id.repo, revision=revision, cache_dir=cache, allow_patterns=names
        )
        return _complete(Path(path))
    except ModelError as error:
        raise ModelError(f"{hub_id} on the hub: {error}") from None
    except Exception as error:  # whatever goes wrong on the way, of several libraries' making
        raise _explained(hub_id, cache, error) from error


def _explained(hub_id: HubId, cache: Path, error: Exception) -> PgfError:
    from huggingface_hub import errors

    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return ResourceError(
            f"the cache {cache} cannot be written ({error.strerror}): set HF_HUB_CACHE to another"
        )
    causes = {  # a gated repository counts as not found, too
        errors.GatedRepoError: "its authors restrict access: accept their terms on its page on the "
        "hub, then run 'hf auth login'",
        errors.RepositoryNotFoundError: "there is no such directory here and no such model on the "
        "hub: check the name, or run 'hf auth login' if it is private",
        errors.RevisionNotFoundError: "the hub has no such revision of it: give a branch, a tag or "
        "all 40 characters of a commit",
    }
    first = (str(error).splitlines() or [""])[0]
    unknown = f"cannot be fetched ({type(error).__name__}: {first}): {_by_hand(hub_id, cache)}"
    cause = next((text for kind, text in causes.items() if isinstance(error, kind)), unknown)
    return ModelError(f"{hub_id}: {cause}")


def _by_hand(hub_id: HubId, cache: Path) -> str:
    pinned = f" --revision {hub_id.revision}" if hub_id.revision else ""
    return (
        f"run 'hf download {hub_id.repo}{pinned}' on a machine with a network and copy its cache "
        f"to {cache}, or give the model's directory"
    )


def _switched_off() -> bool:
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in ("1", "ON", "YES", "TRUE")
