"""The page over results of two models; what cannot be compared is refused."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from baselines.analysis import drift, files, lape, report
from polyfact_dataset.common.errors import ConfigError, DataError

CODES = ("en", "de")
FIELDS = {"models": [{"name": "m", "weights": "abc", "dtype": "float32"}], "inputs": {"text": "x"}, "seconds": 1.0}


def lape_result(path, label, shift, **changes):
    counts = np.full((2, 4, 50), 1)
    counts[0, shift, 0] = counts[1, shift, 1] = 90
    metrics, arrays = lape.summarise(counts, np.array([100, 100]), 0.01, 0.95, 1)
    fields = {**FIELDS, "settings": {"last_layers": 1}, **changes}
    files.save(path, arrays, kind="lape", label=label, languages=CODES, metrics=metrics, **fields)
    return path


def drift_result(path):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(20, 4))
    metrics, arrays = drift.summarise(base, base + rng.normal(size=(20, 4)), np.array(["en", "de"] * 10), CODES)
    fields = {**FIELDS, "settings": {}}
    files.save(path, arrays, kind="drift", label="<b>new</b>", languages=CODES, metrics=metrics, **fields)
    return path


def test_the_page_stands_alone_and_shows_the_numbers(tmp_path):
    paths = [
        lape_result(tmp_path / "b.json", "base", 0),
        lape_result(tmp_path / "t.json", "<b>new</b>", 3),
        drift_result(tmp_path / "d.json"),
    ]
    report.main(paths, tmp_path / "page")
    html = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;new&lt;/b&gt;" in html and "<b>new" not in html
    images = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert len(images) == 4 + 2 == html.count("<img")
    assert all(b"<svg" in base64.b64decode(image)[:500] for image in images)
    assert "http" not in re.sub(r'src="data:[^"]+"', "", html)
    row = re.search(r"<tr><td>&lt;b&gt;new&lt;/b&gt;</td><td>highest</td><td>all</td>(.*?)</tr>", html).group(1)
    assert re.findall(r"<td>(.*?)</td>", row) == ["2", "0", "1"]
    for suffix, start in ((".svg", b"<?xml"), (".png", b"\x89PNG")):
        files_found = sorted((tmp_path / "page" / "figures").glob(f"*{suffix}"))
        assert len(files_found) == 6
        assert all(path.read_bytes().startswith(start) for path in files_found)
    with pytest.raises(ConfigError, match="--overwrite"):
        report.main(paths, tmp_path / "page")


def test_equal_results_give_equal_files(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        report.main([lape_result(tmp_path / name / "b.json", "base", 0)], tmp_path / name / "page")
    first, second = (sorted(p for p in (tmp_path / n).rglob("*") if p.is_file()) for n in ("one", "two"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


@pytest.mark.parametrize(
    ("changes", "word"), [({"inputs": {"text": "y"}}, "inputs"), ({"settings": {"last_layers": 2}}, "settings")]
)
def test_results_of_other_inputs_or_settings_are_refused(tmp_path, changes, word):
    paths = [lape_result(tmp_path / "b.json", "base", 0), lape_result(tmp_path / "t.json", "new", 3, **changes)]
    with pytest.raises(DataError, match=f"'base' and 'new' differ in {word}"):
        report.gather(paths)


def test_defects_of_results_are_named(tmp_path):
    path = lape_result(tmp_path / "b.json", "base", 0)
    with pytest.raises(DataError, match="labelled alike"):
        report.gather([path, path])
    lape_result(tmp_path / "other.json", "base", 1)
    (tmp_path / "b.npz").write_bytes((tmp_path / "other.npz").read_bytes())
    with pytest.raises(DataError, match=r"b\.npz is missing or is not"):
        files.load(path)
    path.write_text(json.dumps({"kind": "lape"}))
    with pytest.raises(DataError, match=r"b\.json is no result"):
        files.load(path)
    with pytest.raises(ConfigError, match="must end in"):
        files.prepare(tmp_path / "b.txt", False)


def test_numbers_are_shown_as_people_read_them():
    shown = [report.shown(value) for value in (None, float("nan"), 0.123456, 1234.5, 12345, "en")]
    assert shown == ["–", "–", "0.123", "1,234.5", "12,345", "en"]
