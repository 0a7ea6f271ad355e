"""The programs that sessions and tracks are for read them: JBrowse 2, pyGenomeTracks, bedtools.

Each test skips where its program is not installed. The libraries of JBrowse come from npm:
``npm install igv @gmod/bbi @gmod/tabix generic-filehandle2 @jbrowse/react-linear-genome-view2``,
with PGF_GENOME_NODE_MODULES naming the folder node_modules.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from browser import run_page
from finished import LENGTHS, PEAK, scores, write_fasta, write_run

from pgf_genome.browser import LocalServer, Resource, read_scene, write_sessions

NODE_MODULES = "PGF_GENOME_NODE_MODULES"
CONTIG, POSITION = PEAK
START, STOP = POSITION - 30, POSITION + 30

GMOD = """
import {LocalFile} from 'generic-filehandle2';
import {BigWig} from '@gmod/bbi';
import {TabixIndexedFile} from '@gmod/tabix';
const [bigwig, bedgraph, contig, start, stop] = process.argv.slice(-5);
const file = new BigWig({filehandle: new LocalFile(bigwig)});
const features = await file.getFeatures(contig, +start, +stop, {scale: 1});
const lines = [];
const tabix = new TabixIndexedFile({path: bedgraph, tbiPath: `${bedgraph}.tbi`});
await tabix.getLines(contig, +start, +stop, (line) => lines.push(line));
console.log(JSON.stringify({
  bigwig: features.map((each) => [each.start, each.end, each.score]),
  bedgraph: lines.map((line) => line.split('\\t').slice(1).map(Number)),
}));
"""

JBROWSE = """async (contig) => {
  const {createViewState, JBrowseLinearGenomeView, React, createRoot} =
    window.JBrowseReactLinearGenomeView;
  const config = await (await fetch('run.jbrowse.json')).json();
  const based = (value) => {
    if (value && typeof value === 'object') {
      if (value.uri) value.baseUri = location.href;
      Object.values(value).forEach(based);
    }
  };
  based(config);
  const state = createViewState({
    assembly: config.assemblies[0], tracks: config.tracks,
    defaultSession: {name: 'test', view: config.defaultSession.views[0]},
  });
  const root = createRoot(document.getElementById('root'));
  root.render(React.createElement(JBrowseLinearGenomeView, {viewState: state}));
  const held = {};
  for (const track of config.tracks) {
    const features = await state.session.rpcManager.call('test', 'CoreGetFeatures', {
      adapterConfig: track.adapter, sessionId: 'test',
      regions: [{refName: contig, start: START, end: STOP, assemblyName: 'run'}],
    });
    held[track.name] = features.map((each) => ['start', 'end', 'score'].map((k) => each.get(k)));
  }
  const view = state.session.view;
  return {held, shown: view.tracks.length, start: view.offsetPx * view.bpPerPx};
}""".replace("START", str(START)).replace("STOP", str(STOP))


def node_modules(*packages: str) -> Path:
    folder = Path(os.environ.get(NODE_MODULES, "node_modules")).resolve()
    missing = [package for package in packages if not (folder / package).is_dir()]
    if missing:
        pytest.skip(f"npm install {' '.join(missing)}, and set {NODE_MODULES} to its node_modules")
    return folder


def program(name: str) -> str:
    found = os.environ.get(f"PGF_GENOME_{name.upper()}") or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    made = write_run(tmp_path, fasta=write_fasta(tmp_path / "g.fa"))
    write_sessions(read_scene(made))
    return made


def assert_same(rows, track: str, contig: str = CONTIG) -> None:
    """Rows between START and STOP are one per scored base and hold the same float32."""
    values = scores(track, contig)
    rows = [row for row in rows if START <= row[0] < STOP]
    assert [row[0] for row in rows] == [i for i in range(START, STOP) if not np.isnan(values[i])]
    for start, stop, value in rows:
        assert stop == start + 1
        assert np.float32(value) == values[start]


def test_the_parsers_of_jbrowse_read_both_formats(prefix: Path) -> None:
    node = program("node")
    folder = node_modules("@gmod/bbi", "@gmod/tabix", "generic-filehandle2")
    files = [f"{prefix}.contribution.bw", f"{prefix}.contribution.bedgraph.gz"]
    command = [node, "--input-type=module", "-", *files, CONTIG, str(START), str(STOP)]
    done = subprocess.run(
        command, input=GMOD, cwd=folder.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for rows in json.loads(done.stdout).values():
        assert_same(rows, "contribution")


@pytest.mark.parametrize("renamed", [{}, {"c1": "chr1", "c2": "chr2"}])
def test_jbrowse_opens_its_configuration(tmp_path: Path, renamed: dict[str, str]) -> None:
    package = node_modules("@jbrowse/react-linear-genome-view2") / (
        "@jbrowse/react-linear-genome-view2"
    )
    library = package / "dist" / "react-linear-genome-view.umd.production.min.js"
    prefix = write_run(tmp_path, fasta=write_fasta(tmp_path / "g.fa"), renamed=renamed)
    write_sessions(read_scene(prefix))
    page = b'<link rel="icon" href="data:,"><div id="root"></div><script src="jb.js"></script>'
    routes = {f"/{path.name}": Resource(path) for path in tmp_path.iterdir()}
    routes |= {
        "/": Resource(page, "text/html; charset=utf-8"),
        "/jb.js": Resource(library, "text/javascript; charset=utf-8"),
    }
    contig = renamed.get(CONTIG, CONTIG)
    with LocalServer(routes) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            visit = run_page(server.url, lambda tab: tab.evaluate(JBROWSE, contig))
        finally:
            server.shutdown()
            thread.join()
    assert visit.errors == []
    assert visit.result["shown"] == 4
    assert abs(visit.result["start"] - (POSITION - 50)) < 1
    for track, rows in visit.result["held"].items():
        assert_same(rows, track)


def test_pygenometracks_draws_every_track(tmp_path: Path, prefix: Path) -> None:
    draw = program("pyGenomeTracks")
    figure = tmp_path / "figure.png"
    command = [draw, "--tracks", f"{prefix}.tracks.ini", "--region", "c1:1500-2500", "-o", figure]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert figure.read_bytes().startswith(b"\x89PNG")
    for track in ("contribution", "sensitivity", "surprisal"):
        assert f"[{track}]" in done.stderr
    assert "error" not in done.stderr.lower()


def test_bedtools_reads_rows_and_sizes(tmp_path: Path, prefix: Path) -> None:
    bedtools = program("bedtools")
    windows = tmp_path / "windows.bed"
    windows.write_text("".join(f"{contig}\t0\t{length}\n" for contig, length in LENGTHS.items()))
    arguments = ["-a", windows, "-b", f"{prefix}.contribution.bedgraph.gz", "-c", "4"]
    arguments += ["-o", "count,max", "-g", f"{prefix}.chrom.sizes"]
    done = subprocess.run([bedtools, "map", *arguments], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        contig, _, _, count, largest = line.split("\t")
        values = scores("contribution", contig)
        assert int(count) == np.count_nonzero(~np.isnan(values))
        assert float(largest) == pytest.approx(np.nanmax(values))
