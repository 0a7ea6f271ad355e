"""Sessions for genome browsers, written from the files of a finished run."""

from __future__ import annotations

import configparser
import gzip
import json
import os
import struct
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pysam
import pytest
from Bio.bgzf import BgzfBlocks
from finished import LENGTHS, PEAK, sequence, write_fasta, write_run

from pgf_genome.browser import read_scene, write_sessions
from pgf_genome.browser.reference import open_reference
from pgf_genome.errors import SequenceError
from pgf_genome.pages.palette import LIGHT, numbers
from pgf_genome.tracks.bedgraph.bgzf import END_OF_FILE

GFF = """##gff-version 3
c1\tx\tregion\t1\t3000\t.\t+\t.\tID=c1:1..3000;Name=ANONYMOUS
c1\tx\tgene\t11\t90\t.\t-\t.\tID=g1;Name=first gene
c1\tx\tmRNA\t11\t90\t.\t-\t.\tID=t1;Parent=g1
c1\tx\tCDS\t21\t30\t.\t-\t0\tID=cds1;Parent=t1;Name=NP_414542.1
c1\tx\tCDS\t51\t60\t.\t-\t0\tID=cds1;Parent=t1;Name=NP_414542.1
c1\tx\trepeat_region\t5\t8\t.\t.\t.\tID=r1
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return write_run(tmp_path, fasta=write_fasta(tmp_path / "g.fa"))


def session(prefix: Path, suffix: str, **options: object) -> str:
    write_sessions(read_scene(prefix, **options))
    return Path(f"{prefix}.{suffix}").read_text()


def igv(prefix: Path, **options: object) -> dict:
    return json.loads(session(prefix, "igv.json", **options))


def test_igv_session_shows_contribution_as_letters_and_prefers_bigwig(prefix: Path) -> None:
    tracks = {track["name"]: track for track in igv(prefix)["tracks"]}
    assert list(tracks) == ["contribution", "sensitivity", "surprisal"]
    assert tracks["contribution"]["url"] == "run.contribution.bw"
    assert tracks["contribution"]["format"] == "bigwig"
    assert tracks["contribution"]["graphType"] == "dynseq"
    assert tracks["contribution"]["description"] == "signed <letter> & height [nats]"
    assert "graphType" not in tracks["surprisal"]
    assert tracks["sensitivity"]["format"] == "bedgraph"
    assert tracks["sensitivity"]["indexURL"] == "run.sensitivity.bedgraph.gz.tbi"


def test_sessions_open_at_the_strongest_position(prefix: Path) -> None:
    contig, position = PEAK
    assert igv(prefix)["locus"] == f"{contig}:{position - 50 + 1}-{position + 50}"


def test_region_says_where_to_open_1_based(prefix: Path) -> None:
    assert igv(prefix, region="c2:10-20")["locus"] == "c2:10-20"


def test_without_bigwig_sessions_open_at_the_first_contig(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa")
    prefix = write_run(tmp_path, fasta=fasta, formats={"surprisal": ("bedgraph",)})
    assert igv(prefix)["locus"] == "c1:1-100"


def test_plain_bedgraph_has_no_index(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa")
    formats = {"surprisal": ("bedgraph",)}
    prefix = write_run(tmp_path, fasta=fasta, formats=formats, compress=False)
    (track,) = igv(prefix)["tracks"]
    assert (track["url"], track["indexed"]) == ("run.surprisal.bedgraph", False)
    (track,) = json.loads(session(prefix, "jbrowse.json"))["tracks"]
    assert track["adapter"]["type"] == "BedGraphAdapter"


def test_paths_are_relative_and_lead_to_the_files(tmp_path: Path) -> None:
    for folder in ("runs", "genomes"):
        (tmp_path / folder).mkdir()
    fasta = write_fasta(tmp_path / "genomes" / "g.fa")
    gff = tmp_path / "genomes" / "g.gff3"
    gff.write_text(GFF)
    prefix = write_run(tmp_path / "runs", fasta=fasta)
    write_sessions(read_scene(prefix, gff=gff, genome="hg38", email="a@b.org"))
    written = {path.name: path.read_text() for path in (tmp_path / "runs").glob("run.*.*") if
               path.suffix in (".json", ".xml", ".ini", ".txt")}  # fmt: skip
    assert {"run.igv.json", "run.igv.xml", "run.genome.json", "run.jbrowse.json", "run.tracks.ini",
            "run.hub.txt"} < set(written)  # fmt: skip
    for name in set(written) - {"run.run.json"}:
        assert str(tmp_path) not in written[name]
    reference = json.loads(written["run.igv.json"])["reference"]
    assert reference["fastaURL"] == "../genomes/g.fa"
    found = [reference["fastaURL"], reference["indexURL"], "run.contribution.bw"]
    assert all((tmp_path / "runs" / path).is_file() for path in found)


def test_index_is_made_beside_the_run_and_nothing_beside_the_fasta(tmp_path: Path) -> None:
    genomes = tmp_path / "genomes"
    genomes.mkdir()
    prefix = write_run(tmp_path, fasta=write_fasta(genomes / "g.fa"))
    reference = igv(prefix)["reference"]
    assert os.listdir(genomes) == ["g.fa"]
    assert reference["indexURL"] == "run.fasta.fai"
    rows = Path(f"{prefix}.fasta.fai").read_text().splitlines()
    lengths = [row.split("\t")[:2] for row in rows]
    assert lengths == [[contig, str(length)] for contig, length in LENGTHS.items()]


def test_an_index_beside_the_fasta_is_used(tmp_path: Path, prefix: Path) -> None:
    pysam.faidx(str(tmp_path / "g.fa"))
    assert igv(prefix)["reference"]["indexURL"] == "g.fa.fai"
    assert not Path(f"{prefix}.fasta.fai").exists()


def test_an_index_older_than_the_fasta_is_not_used(tmp_path: Path, prefix: Path) -> None:
    index = tmp_path / "g.fa.fai"
    index.write_text("stale\n")
    os.utime(index, (1, 1))
    assert igv(prefix)["reference"]["indexURL"] == "run.fasta.fai"


def test_bgzip_fasta_has_both_indexes(tmp_path: Path, prefix: Path) -> None:
    packed = tmp_path / "g.fa.gz"
    pysam.tabix_compress(str(tmp_path / "g.fa"), str(packed))
    reference = igv(prefix, fasta=packed)["reference"]
    assert reference["compressedIndexURL"] == "run.fasta.gzi"
    config = json.loads(session(prefix, "jbrowse.json", fasta=packed))
    adapter = config["assemblies"][0]["sequence"]["adapter"]
    assert adapter["type"] == "BgzipFastaAdapter"
    assert adapter["gziLocation"]["uri"] == "run.fasta.gzi"


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("marked", [True, False])
def test_index_of_bgzip_knows_where_the_last_block_ends(
    tmp_path: Path, indexed: bool, marked: bool
) -> None:
    bases = "ACGTTGCA" * 20_000
    plain, packed = tmp_path / "g.fa", tmp_path / "g.fa.gz"
    plain.write_text(f">a\n{bases}\n")
    pysam.tabix_compress(str(plain), str(packed))
    if not marked:
        packed.write_bytes(packed.read_bytes().removesuffix(END_OF_FILE))
    if indexed:
        pysam.faidx(str(packed))
    made = open_reference(packed, {"a": len(bases)}, tmp_path / "run")
    with packed.open("rb") as file:
        blocks = [(start, place) for start, _, place, size in BgzfBlocks(file) if size]
    data = packed.stat().st_size - (len(END_OF_FILE) if marked else 0)
    wanted = [*blocks[1:], (data, plain.stat().st_size)]
    assert len(blocks) > 2
    content = made.gzi.read_bytes()
    assert struct.unpack_from("<Q", content)[0] == len(wanted)
    assert list(struct.iter_unpack("<2Q", content[8:])) == wanted
    indexes = {"filepath_index": str(made.fai), "filepath_index_compressed": str(made.gzi)}
    with pysam.FastaFile(str(packed), **indexes) as fasta:
        assert fasta.fetch("a", len(bases) - 9) == bases[-9:]
        assert fasta.fetch("a", 65_000, 66_000) == bases[65_000:66_000]


def test_renamed_contigs_are_aliases_of_those_in_the_fasta(tmp_path: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa")
    prefix = write_run(tmp_path, fasta=fasta, renamed={"c1": "chr1", "c2": "chr2"})
    assert igv(prefix)["reference"]["aliasURL"] == "run.aliases.tsv"
    assert Path(f"{prefix}.aliases.tsv").read_text() == "c1\tchr1\nc2\tchr2\n"
    config = json.loads(session(prefix, "jbrowse.json"))
    assert "refNameAliases" in config["assemblies"][0]
    assert config["defaultSession"]["views"][0]["displayedRegions"][0]["refName"] == "c1"


def test_equal_runs_give_equal_bytes(tmp_path: Path, prefix: Path) -> None:
    suffixes = ("igv.json", "igv.xml", "jbrowse.json", "tracks.ini", "hub.txt", "genome.json")
    texts = [
        [session(prefix, suffix, genome="hg38", email="a@b.org") for suffix in suffixes]
        for _ in range(2)
    ]
    assert texts[0] == texts[1]


def test_genes_are_one_lane_of_names_in_every_session(tmp_path: Path, prefix: Path) -> None:
    gff = tmp_path / "g.gff3.gz"
    gff.write_bytes(gzip.compress(GFF.encode()))
    assert igv(prefix, gff=gff)["tracks"][-1] == {
        "name": "g.gff3.gz", "type": "annotation", "format": "bed", "url": "run.genes.bed",
        "displayMode": "EXPANDED", "indexed": False,
    }  # fmt: skip
    assert Path(f"{prefix}.genes.bed").read_text().splitlines() == [
        "c1\t4\t8\tr1\t0\t.\t4\t8\t0\t1\t4\t0",
        "c1\t10\t90\tfirst_gene\t0\t-\t20\t60\t0\t4\t10,10,10,30\t0,10,40,50",
    ]
    adapter = json.loads(session(prefix, "jbrowse.json", gff=gff))["tracks"][-1]["adapter"]
    assert (adapter["type"], adapter["bedLocation"]["uri"]) == ("BedAdapter", "run.genes.bed")
    assert 'type="bed"' in session(prefix, "igv.xml", gff=gff)
    ini = configparser.ConfigParser(strict=False)
    ini.read_string(session(prefix, "tracks.ini", gff=gff))
    assert dict(ini["genes"])["file"] == "run.genes.bed"


def test_bed_is_shown_as_it_is_with_its_index(tmp_path: Path, prefix: Path) -> None:
    bed = tmp_path / "g.bed.gz"
    bed.touch()
    Path(f"{bed}.tbi").touch()
    assert igv(prefix, gff=bed)["tracks"][-1]["indexURL"] == "g.bed.gz.tbi"
    adapter = json.loads(session(prefix, "jbrowse.json", gff=bed))["tracks"][-1]["adapter"]
    assert (adapter["type"], adapter["bedGzLocation"]["uri"]) == ("BedTabixAdapter", "g.bed.gz")


def test_genes_of_other_contigs_are_an_error_that_names_both_sides(
    tmp_path: Path, prefix: Path
) -> None:
    gff = tmp_path / "g.gff3"
    gff.write_text(GFF.replace("c1\t", "chr1\t"))
    with pytest.raises(SequenceError, match=r"none of its contigs \(chr1\) .*\(c1, c2\)"):
        read_scene(prefix, gff=gff)
    alias = tmp_path / "alias.tsv"
    alias.write_text("c1\tchr1\n")
    assert igv(prefix, gff=gff, chrom_alias=alias)["tracks"][-1]["url"] == "run.genes.bed"


def test_tracks_have_the_colours_of_the_report(prefix: Path) -> None:
    colours = [LIGHT.line(rank) for rank in range(3)]
    assert [t["color"] for t in igv(prefix)["tracks"]] == [f"rgb({numbers(c)})" for c in colours]
    root = ElementTree.fromstring(session(prefix, "igv.xml").encode())
    assert [t.get("color") for t in root.iter("Track")] == list(map(numbers, colours))
    ini = configparser.ConfigParser(strict=False)
    ini.read_string(session(prefix, "tracks.ini"))
    assert [ini[name]["color"] for name in ini.sections() if "color" in ini[name]] == colours


def test_igv_desktop_session_is_xml_with_dynseq(prefix: Path) -> None:
    root = ElementTree.fromstring(session(prefix, "igv.xml").encode())
    assert root.get("genome") == "run.genome.json"
    paths = [each.get("path") for each in root.iter("Resource")]
    tracks = list(root.iter("Track"))
    assert [track.get("id") for track in tracks] == paths
    assert [track.get("renderer") for track in tracks] == ["DYNSEQ", "BAR_CHART", "BAR_CHART"]
    genome = json.loads(Path(f"{prefix}.genome.json").read_text())
    assert {"id", "name", "fastaURL", "indexURL"} == set(genome)


def stanzas(text: str) -> list[dict[str, str]]:
    return [
        dict(line.split(" ", 1) for line in stanza.splitlines()) for stanza in text.split("\n\n")
    ]


def test_hub_is_one_file_of_bigwigs_with_a_logo(prefix: Path) -> None:
    hub, genome, *tracks = stanzas(session(prefix, "hub.txt", genome="hg38", email="a@b.org"))
    assert set(hub) == {"hub", "shortLabel", "longLabel", "useOneFile", "email"}
    assert (hub["useOneFile"], hub["email"]) == ("on", "a@b.org")
    assert genome == {"genome": "hg38"}
    assert [track["bigDataUrl"] for track in tracks] == [
        "run.contribution.bw",
        "run.surprisal.bw",
    ]
    assert [track.get("logo") for track in tracks] == ["on", None]
    assert {track["type"] for track in tracks} == {"bigWig"}
    assert all(len(track["shortLabel"]) <= 17 for track in tracks)


def test_without_an_assembly_or_an_address_there_is_no_hub(prefix: Path, command) -> None:
    written = write_sessions(read_scene(prefix))
    assert f"{prefix}.hub.txt" not in map(str, written)
    assert "give yours with --email" in command("browse", prefix, "--genome", "hg38").err
    assert not Path(f"{prefix}.hub.txt").exists()
    assert "goes with --genome" in command("browse", prefix, "--email", "a@b.org").error


def test_names_are_escaped_everywhere(tmp_path: Path) -> None:
    name = "a #1 100%25 <b>&\"'é"
    prefix = write_run(tmp_path, name, fasta=write_fasta(tmp_path / "g 1.fa"))
    tracks = igv(prefix)["tracks"]
    assert tracks[0]["url"].isascii()
    assert not set(tracks[0]["url"]) & set(" #<>&\"'")
    assert unquote(tracks[0]["url"]) == f"{name}.contribution.bw"
    root = ElementTree.fromstring(session(prefix, "igv.xml").encode())
    assert next(root.iter("Resource")).get("path") == f"{name}.contribution.bw"
    hub = stanzas(session(prefix, "hub.txt", genome="hg38", email="a@b.org"))[2]
    assert unquote(hub["bigDataUrl"]) == f"{name}.contribution.bw"
    assert hub["track"].replace("_", "").isalnum()


def test_genome_tracks_take_a_percent_sign_but_no_space(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fasta = write_fasta(tmp_path / "g.fa")
    ini = configparser.ConfigParser(strict=False)
    ini.read_string(session(write_run(tmp_path, "50%", fasta=fasta), "tracks.ini"))
    assert ini["contribution"]["file"] == "50%.contribution.bw"
    spaced = write_run(tmp_path, "a b", fasta=fasta)
    write_sessions(read_scene(spaced))
    assert not Path(f"{spaced}.tracks.ini").exists()
    assert "pyGenomeTracks takes a space" in caplog.text


def test_a_run_that_was_renamed_is_found(tmp_path: Path, prefix: Path) -> None:
    for path in list(tmp_path.glob("run.*")):
        path.rename(path.with_name(path.name.replace("run.", "new.", 1)))
    assert igv(tmp_path / "new")["tracks"][0]["url"] == "new.contribution.bw"


def test_summaries_in_bins_follow_their_track(prefix: Path) -> None:
    path = Path(f"{prefix}.run.json")
    facts = json.loads(path.read_text())
    for kind in ("mean", "max"):
        facts["files"][f"contribution.bin50.{kind}.bigwig"] = f"run.contribution.bin50.{kind}.bw"
        Path(f"{prefix}.contribution.bin50.{kind}.bw").touch()
    path.write_text(json.dumps(facts))
    first, mean, most, *rest = igv(prefix)["tracks"]
    assert [first["name"], mean["name"], most["name"], len(rest)] == [
        "contribution", "contribution.bin50.mean", "contribution.bin50.max", 2,
    ]  # fmt: skip
    assert mean["description"].startswith("mean of bins of 50 bases: signed <letter>")
    assert ("graphType" in first, "graphType" in mean) == (True, False)
    labels = [s["shortLabel"] for s in
              stanzas(session(prefix, "hub.txt", genome="hg38", email="a@b.org"))[2:]]  # fmt: skip
    assert len(set(labels)) == len(labels)


def test_sessions_open_at_the_strongest_site_of_the_run(prefix: Path) -> None:
    path = Path(f"{prefix}.run.json")
    facts = json.loads(path.read_text())
    facts["files"]["peaks"] = "run.peaks.bed"
    path.write_text(json.dumps(facts))
    row = "c2\t{}\t{}\tx\t0\t.\t{}\t-1\t-1\t1\n"
    Path(f"{prefix}.peaks.bed").write_text(row.format(99, 102, 5) + row.format(299, 302, 7))
    assert igv(prefix)["locus"] == "c2:251-350"


def test_fasta_in_plain_gzip_is_copied_to_bgzip_beside_the_run(
    tmp_path: Path, prefix: Path
) -> None:
    packed = tmp_path / "g.fa.gz"
    packed.write_bytes(gzip.compress((tmp_path / "g.fa").read_bytes()))
    reference = igv(prefix, fasta=packed)["reference"]
    assert reference["fastaURL"] == "run.fasta.gz"
    assert reference["compressedIndexURL"] == "run.fasta.gzi"
    with pysam.FastaFile(f"{prefix}.fasta.gz") as fasta:
        assert fasta.fetch("c2", 100, 160) == sequence("c2")[100:160]
    before = Path(f"{prefix}.fasta.gz").stat().st_mtime_ns
    igv(prefix, fasta=packed)
    assert Path(f"{prefix}.fasta.gz").stat().st_mtime_ns == before


def test_the_other_format_stands_in_for_a_deleted_file(prefix: Path) -> None:
    Path(f"{prefix}.contribution.bw").unlink()
    assert igv(prefix)["tracks"][0]["url"] == "run.contribution.bedgraph.gz"


def test_an_assembly_name_stands_in_for_a_missing_fasta(tmp_path: Path) -> None:
    prefix = write_run(tmp_path, fasta=tmp_path / "gone.fa")
    found = igv(prefix, genome="hg38")
    assert found["genome"] == "hg38"
    assert "reference" not in found
    config = json.loads(session(prefix, "jbrowse.json", genome="hg38"))
    adapter = config["assemblies"][0]["sequence"]["adapter"]
    assert adapter["chromSizesLocation"]["uri"] == "run.chrom.sizes"
