"""The documents of a release of the bundled sample say what it is."""

from __future__ import annotations

from pathlib import Path

from polyfact_dataset.release import card
from polyfact_dataset.release.croissant import croissant
from polyfact_dataset.release.reader import read_release
from polyfact_dataset.release.stats import statistics


def test_documents_of_the_sample_do_not_pass_as_wikidatas(small: Path) -> None:
    release, counted = read_release(small), statistics(small)
    sheets = ("card.md.j2", "datasheet.md.j2", "licence.md.j2")
    dump = {name: card.render(name, card.values(release, counted)) for name in sheets}
    release.about["source"] = "sample"
    counted["languages"]["sw"]["option_provenance"]["written+recased"] = 1
    named = card.values(release, counted)
    sample = {name: card.render(name, named) for name in sheets}
    for name, message in (
        ("datasheet.md.j2", "The dump is Wikidata's."),
        ("datasheet.md.j2", "on the Hugging Face Hub"),
        ("card.md.j2", "attested in Wikidata in all languages"),
    ):
        assert message in dump[name] and message not in sample[name], message
    for name, message in (
        ("datasheet.md.j2", "The bundled sample ships with the code."),
        ("datasheet.md.j2", "it is not the published data set."),
        ("card.md.j2", "attested in Wikidata or CLDR in all languages"),
        ("card.md.j2", "or Wikipedia title, or with the name of a country, language or currency in CLDR."),
        ("licence.md.j2", "Unicode License v3"),
    ):
        assert message in sample[name] and message not in dump[name], message
    for name in ("card.md.j2", "datasheet.md.j2"):
        assert "others were written by people (`written`);" in sample[name] and "others were written" not in dump[name]
    assert "others were written by people (written);" in croissant(release, named)
