"""Progress on stderr."""

from __future__ import annotations

import logging
import re

from pgf_genome.cli.progress import Progress


def test_time_left_is_told_once_a_rate_is_known(monkeypatch, caplog, capsys):
    monkeypatch.setattr("pgf_genome.cli.progress.PERIOD", -1.0)
    with caplog.at_level(logging.INFO, logger="pgf_genome"), Progress() as progress:
        progress(0, 1000)
        assert capsys.readouterr().err == ""
        progress(250, 1000)
        assert re.match(r"250 of 1,000 bp \(25\.0 %\), .* left\n", capsys.readouterr().err)
