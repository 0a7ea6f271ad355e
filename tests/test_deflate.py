"""Compressed content has the same bytes in every run, and every reader takes it."""

from __future__ import annotations

import gzip
import zlib

import numpy as np
import pytest

from pgf_genome.tracks.deflate import SHORT, gzip_body, zlib_compressed


@pytest.mark.parametrize("length", [0, 1, 36, SHORT - 1])
def test_short_content_goes_through_zlib_whose_bytes_are_always_the_same(length: int) -> None:
    content = np.random.default_rng(0).integers(0, 9, length, np.uint8).tobytes()
    assert zlib_compressed(content) == zlib.compress(content, 1)
    assert gzip_body(content) == zlib.compress(content, 2, wbits=31)[10:]


@pytest.mark.parametrize("length", [0, 1, SHORT - 1, SHORT, 65_280])
def test_compressed_content_is_read_by_zlib(length: int) -> None:
    content = np.random.default_rng(0).integers(0, 9, length, np.uint8).tobytes()
    assert zlib.decompress(zlib_compressed(content)) == content
    header = bytes([31, 139, 8, 0, 0, 0, 0, 0, 0, 255])
    assert gzip.decompress(header + gzip_body(memoryview(content))) == content
