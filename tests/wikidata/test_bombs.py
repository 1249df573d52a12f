"""A few kB that would fill memory or disk are refused, in bounded memory; what is packed well is not."""

from __future__ import annotations

import bz2
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from polyfact_dataset.errors import DataError
from polyfact_dataset.wikidata.dump import check_expansion, open_dump

ROOT = Path(__file__).parents[2]
_SCRIPT = """
import resource, sys
from pathlib import Path
from polyfact_dataset.errors import DataError
from tests.wikidata.dumps import config, extract
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = used()
try:
    extract(Path(sys.argv[1]), Path(sys.argv[2]), config(max_expansion=200))
except DataError as error:
    print(error)
print(used() - before)
"""


def bomb(kind: str) -> bytes:
    """256 MB of zeros in a text of one entity: as a line, or of an array in another layout."""
    layout, packing = kind.split()
    packer: Any = {
        "bz2": bz2.BZ2Compressor,
        "gz": lambda: zlib.compressobj(9, zlib.DEFLATED, 31),
        "zst": zstandard.ZstdCompressor().compressobj,
    }[packing]()
    head = b'{"id":"Q1","a":"' if layout == "line" else b'[{"id":"Q1",\n"a":"'
    zeros = b"0" * (1 << 20)
    return b"".join([packer.compress(head), *(packer.compress(zeros) for _ in range(256)), packer.flush()])


@pytest.mark.parametrize("kind", ["line bz2", "line gz", "line zst", "array bz2"])
def test_a_bomb_is_refused_and_fits_into_memory(kind: str, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(bomb(kind))
    assert dump.stat().st_size < 300_000
    command = [sys.executable, "-c", _SCRIPT, str(dump), str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'benchmarks'}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    said, grown_mb = done.stdout.splitlines()
    assert "dump dump" in said and "raise extract.max_expansion" in said
    # 256 MB of text never stand in memory, let alone the several copies that parsing makes.
    assert int(grown_mb) < 250


def test_a_ratio_is_looked_at_only_where_there_is_much_text(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(bz2.compress(b"[\n" + b" " * (1 << 25) + b"\n]\n"))
    with open_dump(dump) as text:
        assert sum(map(len, iter(lambda: text.read(1 << 20), b""))) == (1 << 25) + 5
    check_expansion("x", 1 << 26, 1, 1000)
    check_expansion("x", 1000 << 20, 1 << 20, 1000)
    with pytest.raises(DataError, match="1,048,576 compressed bytes hold more than 1,048,576,001 of text"):
        check_expansion("x", (1000 << 20) + 1, 1 << 20, 1000)
