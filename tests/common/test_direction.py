"""Texts of both directions where people read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyfact_dataset.common.text.direction import FSI, PDI, RLI, as_html, displayed, isolated_runs


@pytest.mark.parametrize(
    ("text", "direction", "shown"),
    [
        ("من أخرج فيلم «E.T.»؟", "rtl", "من أخرج فيلم «[E.T.]»؟"),
        ("من طوّر C++؟", "rtl", "من طوّر [C++]؟"),
        ("من أسس IBM؟", "rtl", "من أسس [IBM]؟"),
        ("من أسس Warner Bros. في كاليفورنيا؟", "rtl", "من أسس [Warner Bros.] في كاليفورنيا؟"),
        ("شركة Apple Inc.", "rtl", "شركة [Apple Inc.]"),
        ("كأس العالم 2018", "rtl", "كأس العالم 2018"),
        ("Windows 95", "rtl", "[Windows 95]"),
        ("من طوّر Xbox 360 (الجهاز)؟", "rtl", "من طوّر [Xbox 360] (الجهاز)؟"),
        ("Who wrote “ألف ليلة وليلة”?", "ltr", "Who wrote “[ألف ليلة وليلة]”?"),
        ("Who directed “E.T.”?", "ltr", "Who directed “E.T.”?"),
        ("Где находится Каир?", "ltr", "Где находится Каир?"),
        ("『E.T.』の監督は誰ですか。", "ltr", "『E.T.』の監督は誰ですか。"),
    ],
)
def test_names_of_the_other_direction_are_isolated(text: str, direction: str, shown: str) -> None:
    expected = shown.replace("[", FSI).replace("]", PDI)
    assert isolated_runs(text, direction) == expected
    assert displayed(text, direction) == (f"{RLI}{expected}{PDI}" if direction == "rtl" else expected)
    assert as_html(text, direction) == shown.replace("[", "<bdi>").replace("]", "</bdi>")


def test_html_is_escaped() -> None:
    assert as_html("من <b>E.T.", "rtl") == "من &lt;<bdi>b&gt;E.T.</bdi>"


@given(st.text(alphabet=st.sampled_from("aZ é.+؟، «»()٣5بلЖ"), max_size=20), st.sampled_from(["ltr", "rtl"]))
def test_isolation_adds_only_balanced_controls(text: str, direction: str) -> None:
    shown = displayed(text, direction)
    assert re.sub(f"[{FSI}{RLI}{PDI}]", "", shown) == text
    assert shown.count(FSI) + shown.count(RLI) == shown.count(PDI)
    assert not re.search(rf"{FSI}\s|\s{PDI}$", shown.removesuffix(PDI) if direction == "rtl" else shown)
