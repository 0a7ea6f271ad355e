"""Hub ids: found in literal cache trees, or fetched from a hub that the tests stand in for."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import create_autospec

import huggingface_hub
import pytest
from huggingface_hub import errors
from hypothesis import given
from hypothesis import strategies as st

from pgf_genome.checkpoints import hub as module
from pgf_genome.checkpoints.hub import HubId, Snapshot, fetch, snapshot_of
from pgf_genome.errors import ModelError, ResourceError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "fedcba9876543210fedcba9876543210fedcba98"
TINY = HubId("org/tiny")
CARD = "---\nlanguage: dna\nlicense: apache-2.0\ntags:\n- mamba\n---\n# Tiny\n"
FILES = {"config.json": "{}", "vocab.txt": "A\n", "model.safetensors": "w", "README.md": CARD}
ON_HUB = [
    *FILES,
    *("pytorch_model.bin", "flax_model.msgpack", "onnx/model.onnx", "modeling_tiny.py"),
    *("tokenizer_config.json", "model.onnx", "old/model.safetensors", ".gitattributes"),
]
LIBRARY = {name: getattr(huggingface_hub, name) for name in ("model_info", "snapshot_download")}
VARIABLES = (
    *("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"),
    *("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, and no way to the network."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in LIBRARY:
        monkeypatch.setattr(huggingface_hub, name, None)
    return tmp_path / "hub"


def add_snapshot(
    cache: Path, files: dict[str, str] = FILES, commit: str = COMMIT, ref: str | None = "main"
) -> Path:
    """A snapshot as huggingface_hub lays it out: links to blobs, and a file for the branch."""
    folder = cache / "models--org--tiny"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    (folder / "blobs").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "blobs" / f"blob-{name}").write_text(text)
        (snapshot / name).symlink_to(f"../../blobs/blob-{name}")
    if ref:
        (folder / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    return snapshot


@pytest.fixture
def hub(cache, caplog, monkeypatch) -> SimpleNamespace:
    """A hub with `ON_HUB` for org/tiny, whose functions take what those of the library take.

    ``downloads`` holds the options of each download, ``announced`` what was logged before.
    """
    hub = SimpleNamespace(names=ON_HUB, downloads=[], announced=[])
    caplog.set_level(logging.INFO, "pgf_genome")

    def model_info(repo: str, *, revision: str, files_metadata: bool) -> SimpleNamespace:
        assert (repo, files_metadata) == ("org/tiny", True)
        siblings = [SimpleNamespace(rfilename=name, size=500_000) for name in hub.names]
        return SimpleNamespace(sha=COMMIT, siblings=siblings)

    def snapshot_download(repo: str, **options: object) -> str:
        hub.downloads.append({"repo": repo, **options})
        hub.announced.extend(caplog.messages)
        files = {name: FILES.get(name, "") for name in options["allow_patterns"]}
        (cache / "models--org--tiny" / "snapshots" / COMMIT / "model.safetensors").unlink(True)
        return str(add_snapshot(cache, files, ref=options["revision"]))

    for function in (model_info, snapshot_download):
        stand_in = create_autospec(LIBRARY[function.__name__], side_effect=function)
        monkeypatch.setattr(huggingface_hub, function.__name__, stand_in)
    return hub


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name", HubId("org/name")),
        ("my-org/a.model_x-1k@main", HubId("my-org/a.model_x-1k", "main")),
        ("org/name@refs/pr/4", HubId("org/name", "refs/pr/4")),
        (f"org/name@{COMMIT}", HubId("org/name", COMMIT)),
    ],
)
def test_a_hub_id_is_read_and_printed_back(text, expected):
    assert HubId.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    [
        *("name", "a/b/c", "./name", "../name", "/name", "dir/", "~/name", "c:/x", "-o/n", "a b/c"),
        *("org/na--me", "org/na..me", "org/name.git", "org/näme", "org\\name", "org/name\n"),
        *("", "/", "@main"),
    ],
)
def test_what_cannot_be_a_hub_id_is_none(text):
    assert HubId.parse(text) is None


@pytest.mark.parametrize("revision", ["", "../x", "a/../b", "/main", "a b", "v1@v2", "--help"])
def test_an_impossible_revision_is_refused(revision):
    with pytest.raises(ModelError, match=r"org/name: .* is no revision"):
        HubId.parse(f"org/name@{revision}")
    with pytest.raises(ModelError, match="'name' is no hub id"):
        HubId("name")


@given(st.text(st.sampled_from("ab0._-/@~ "), max_size=12))
def test_whatever_is_parsed_stays_inside_the_cache(text):
    try:
        hub_id = HubId.parse(text)
    except ModelError:
        return
    if hub_id:
        assert str(hub_id) == text
        parts = [*hub_id.repo.split("/"), *(hub_id.revision or "main").split("/")]
        assert len(hub_id.repo.split("/")) == 2
        assert not {"", ".", ".."} & set(parts)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "HOME/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/xdg", "HF_HOME": "~/hf"}, "HOME/hf/hub"),
        ({"HF_HOME": "/hf", "HF_HUB_CACHE": "$HOME/c"}, "HOME/c"),
        ({"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old"}, "/new"),
        ({"HF_HUB_CACHE": "", "HF_HOME": "/hf"}, "/hf/hub"),
    ],
)
def test_the_cache_is_where_the_documented_variables_say(variables, expected, monkeypatch):
    monkeypatch.delenv("HF_HUB_CACHE")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(module.cache_directory()) == expected.replace("HOME", os.environ["HOME"])


def test_a_cached_model_needs_neither_network_nor_library(cache, monkeypatch):
    path = add_snapshot(cache)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert fetch(TINY) == Snapshot(path, "org/tiny", COMMIT, "apache-2.0")


def test_a_revision_is_a_branch_a_tag_or_a_commit(cache):
    add_snapshot(cache)
    old = add_snapshot(cache, commit=OTHER, ref="refs/pr/4")
    for revision in ("refs/pr/4", OTHER):
        assert fetch(HubId("org/tiny", revision)).path == old
    assert fetch(HubId("org/tiny", "main")).commit == fetch(TINY).commit == COMMIT


def test_a_cache_without_links_is_read(cache):
    path = add_snapshot(cache, {})
    for name, text in FILES.items():
        (path / name).write_text(text)
    assert fetch(TINY).path == path


@pytest.mark.parametrize("revision", [COMMIT[:7], "v2"])
def test_a_revision_that_is_not_cached_is_met_with_those_that_are(cache, revision):
    add_snapshot(cache)
    with pytest.raises(ModelError) as error:
        fetch(HubId("org/tiny", revision), offline=True)
    text = str(error.value)
    assert text.startswith(f"org/tiny@{revision}: revision {revision} is not in ")
    assert f"which has main, {COMMIT} (a commit is named by all its 40 characters)" in text
    assert f"run 'hf download org/tiny --revision {revision}'" in text
    assert "\n" not in text


def test_a_ref_that_leads_nowhere_is_named(cache):
    add_snapshot(cache, ref=None)
    (cache / "models--org--tiny" / "refs").mkdir()
    ref = cache / "models--org--tiny" / "refs" / "main"
    ref.write_text(OTHER)
    with pytest.raises(ModelError, match=f"commit {OTHER} has no directory in"):
        fetch(TINY, offline=True)
    ref.write_text("")
    with pytest.raises(ModelError, match="refs/main is damaged"):
        fetch(TINY, offline=True)


LACKS = {"config.json": "config.json", "model.safetensors": "weights", "vocab.txt": "tokenizer"}


@pytest.mark.parametrize(("absent", "what"), LACKS.items())
def test_an_incomplete_snapshot_is_named_with_what_it_lacks(cache, absent, what):
    path = add_snapshot(cache, {name: text for name, text in FILES.items() if name != absent})
    with pytest.raises(ModelError, match=f"{path} is incomplete: it has no {what}, and down"):
        fetch(TINY, offline=True)
    with pytest.raises(ModelError, match=f"{path} is incomplete: it has no {what}; or give"):
        snapshot_of(path.parents[1])


@pytest.mark.parametrize("name", LACKS)
def test_a_link_whose_blob_is_gone_is_named(cache, name):
    path = add_snapshot(cache)
    (path / name).resolve().unlink()
    with pytest.raises(ModelError, match=f"{name} is a link to a blob that is not there"):
        fetch(TINY, offline=True)


@pytest.mark.parametrize("stem", ["model-0000{}-of-00002.safetensors", "pytorch_model-{}-of-2.bin"])
def test_every_shard_must_be_there(cache, stem):
    container = "model.safetensors" if stem.endswith("safetensors") else "pytorch_model.bin"
    first, second = stem.format(1), stem.format(2)
    index = json.dumps({"weight_map": {"a": first, "b": second}})
    files = {"config.json": "{}", "vocab.json": "{}", f"{container}.index.json": index, first: ""}
    path = add_snapshot(cache, files)
    with pytest.raises(ModelError, match=f"the shard {second} is not there"):
        fetch(TINY, offline=True)
    (path / second).symlink_to("../../blobs/gone")
    with pytest.raises(ModelError, match=f"{second} is a link to a blob"):
        fetch(TINY, offline=True)
    (path / second).unlink()
    (path / second).touch()
    assert fetch(TINY, offline=True).path == path


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_the_variables_that_forbid_the_network_are_obeyed(cache, variable, monkeypatch):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ModelError) as error:
        fetch(TINY)
    assert str(error.value) == (
        f"org/tiny: it is not in the cache {cache}, and downloads are switched off: run "
        "'hf download org/tiny' on a machine with a network and copy its cache to "
        f"{cache}, or give the model's directory"
    )


def test_the_argument_overrides_the_variables(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fetch(TINY, offline=False)
    assert len(hub.downloads) == 1


def test_only_what_is_read_is_downloaded(cache, hub):
    found = fetch(TINY)
    (download,) = hub.downloads
    assert set(download.pop("allow_patterns")) == {*FILES, "tokenizer_config.json"}
    assert download == {"repo": "org/tiny", "revision": "main", "cache_dir": cache}
    assert (found.commit, found.licence, found.path.parents[2]) == (COMMIT, "apache-2.0", cache)
    assert fetch(TINY) == found
    assert len(hub.downloads) == 1


SHARDED = ["model.safetensors.index.json", "model-00001-of-00001.safetensors"]
PICKLED = [name.replace("model", "pytorch_model").replace("safetensors", "bin") for name in SHARDED]


@pytest.mark.parametrize("weights", [["pytorch_model.bin"], SHARDED, PICKLED])
def test_weights_of_one_form_are_downloaded(hub, monkeypatch, weights):
    checkpoint = ["config.json", "vocab.txt", *weights]
    hub.names = ["training_args.bin", *checkpoint, "flax_model.msgpack", "x.safetensors"]
    monkeypatch.setitem(FILES, weights[0], '{"weight_map": {}}')
    fetch(TINY)
    assert hub.downloads[0]["allow_patterns"] == checkpoint


def test_a_download_is_announced_before_it_begins(cache, hub):
    fetch(HubId("org/tiny", "v1"))
    (line,) = hub.announced
    assert line.startswith(f"downloading org/tiny@v1 from the hub to {cache}: config.json, ")
    assert line.endswith(", 2.5 MB")


def test_an_incomplete_snapshot_is_completed(cache, hub):
    path = add_snapshot(cache, {"model.safetensors": "w"})
    assert fetch(TINY).path == path
    assert len(hub.downloads) == 1


def test_a_repository_without_a_checkpoint_is_not_downloaded(hub):
    hub.names = ["config.json", "vocab.txt", "model.onnx"]
    with pytest.raises(ModelError, match=r"^org/tiny on the hub: it has no weights$"):
        fetch(TINY)
    assert hub.downloads == []


def test_without_the_library_its_installation_is_advised(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"pip install 'pgf-genome\[hub\]', or run 'hf download"):
        fetch(TINY)


RESPONSE = SimpleNamespace(headers={}, request=None)


@pytest.mark.parametrize(
    ("error", "kind", "cause"),
    [
        (errors.GatedRepoError("403", response=RESPONSE), ModelError, "restrict access: .* login"),
        (errors.RepositoryNotFoundError("401", response=RESPONSE), ModelError, "no such model on"),
        (errors.RevisionNotFoundError("404", response=RESPONSE), ModelError, "no such revision"),
        (errors.HfHubHTTPError("502\nid 7", response=RESPONSE), ModelError, r"Error: 502\): run"),
        (errors.LocalEntryNotFoundError("no connection"), ModelError, "no connection.* a network"),
        (TimeoutError("timed out"), ModelError, "TimeoutError: timed out.* give the model's dir"),
        (OSError(errno.ENOSPC, "No space left"), ResourceError, "No space left.*HF_HUB_CACHE"),
    ],
)
@pytest.mark.parametrize("step", ["model_info", "snapshot_download"])
def test_every_failure_is_one_line_with_its_remedy(hub, monkeypatch, step, error, kind, cause):
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, step, fail)
    with pytest.raises(kind, match=cause) as raised:
        fetch(TINY)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("head", "licence"),
    [
        ("license: apache-2.0", "apache-2.0"),
        ("tags:\n- dna\nlicense: 'cc-by-nc-sa-4.0' # ask us", "cc-by-nc-sa-4.0"),
        ("license:\n- mit\n- bsd-3-clause\nlanguage: en", "mit, bsd-3-clause"),
        ("license: [mit, gpl-3.0+]", "mit, gpl-3.0+"),
        ("license: other\nlicense_name: lab-noncommercial\nlicense_link: L", "lab-noncommercial"),
        ("license: other", "other"),
        ("license: mit\nlicense_name: ours", "mit"),
        ("license:\ntags:\n- dna", None),
        ("model:\n  license: mit", None),
        ("language: en", None),
    ],
)
def test_the_licence_is_that_of_the_cards_head(tmp_path, head, licence):
    (tmp_path / "README.md").write_text(f"---\n{head}\n---\n# Model\nlicense: not-this\n")
    assert module.read_licence(tmp_path) == licence


@pytest.mark.parametrize("card", ["license: mit\n", "# T\n---\nlicense: mit\n---\n", "---\nx", ""])
def test_a_card_without_a_head_states_no_licence(tmp_path, card):
    (tmp_path / "README.md").write_text(card)
    assert module.read_licence(tmp_path) is None


@pytest.mark.parametrize(
    ("licence", "level", "shown"),
    [
        ("license: apache-2.0", logging.INFO, "apache-2.0"),
        ("license: nccc-1.0", logging.INFO, "nccc-1.0"),
        ("language: en", logging.INFO, "not stated on a model card here, see its page on the hub"),
        ("license: cc-by-nc-sa-4.0", logging.WARNING, "cc-by-nc-sa-4.0: not for commercial use"),
        ("license: CC-BY-NC-4.0", logging.WARNING, "CC-BY-NC-4.0: not for commercial use"),
    ],
)
def test_commit_and_licence_are_shown_once(cache, caplog, licence, level, shown):
    add_snapshot(cache, FILES | {"README.md": f"---\n{licence}\n---\n"})
    caplog.set_level(logging.INFO, "pgf_genome")
    fetch(TINY)
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage() == f"model org/tiny, commit {COMMIT}, licence: {shown}"


def test_a_folder_of_the_cache_means_its_main_snapshot(cache):
    path, _ = add_snapshot(cache), add_snapshot(cache, commit=OTHER, ref="old")
    assert snapshot_of(path.parents[1]) == path


def test_a_folder_of_one_pinned_commit_means_that(cache):
    path = add_snapshot(cache, ref=None)
    assert snapshot_of(path.parents[1]) == path
    add_snapshot(cache, commit=OTHER, ref=None)
    with pytest.raises(ModelError, match=f"which has {COMMIT}, {OTHER} .* one of its snapshots"):
        snapshot_of(path.parents[1])


def test_other_directories_are_no_folders_of_the_cache(cache, tmp_path):
    path = add_snapshot(cache)
    (tmp_path / "trained" / "snapshots").mkdir(parents=True)
    (tmp_path / "trained" / "config.json").touch()
    for directory in (tmp_path, path, cache, tmp_path / "trained", tmp_path / "absent"):
        assert snapshot_of(directory) is None
