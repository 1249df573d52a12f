"""Validation and the audit's gates of leakage decide alike: what the one passes, the other does not refuse."""

from __future__ import annotations

import bz2
import json
from itertools import pairwise

import pyarrow as pa

from polyfact_dataset.audit.checks import leakage
from polyfact_dataset.catalog.language import PAPER_LANGUAGES, language
from polyfact_dataset.catalog.relation import all_relations
from polyfact_dataset.facts.labels import usable
from polyfact_dataset.questions.validate import fault
from tests.support.audited import audited, clean_rows
from tests.support.shared_data import shared

# Neighbours in the alphabet, of which one often holds the beginning of the other.
NAMES = {
    "en": ["AMD", "AMD64", "American", "America", "Ur", "Urania", "Hugo", "Victor Hugo", "Nokia", "Nokia 5000"],
    "de": ["Französisch", "Französische Zeitung", "Wien", "Wiener Kongress", "Rom", "Romsdal", "Land", "Landes"],
    "id": ["Jakarta", "Jakartanya", "Jawa", "Jawa Barat", "Bali", "Balikpapan"],
    "pt": ["português", "portuguesa", "Brasil", "Brasília", "Porto", "Porto Alegre"],
    "ar": ["المغرب", "للمغرب", "فرنسا", "بفرنسا", "مصر", "بمصر الجديدة"],
    "bn": ["ঢাকা", "ঢাকার নবাব", "ভারত", "ভারতের রাষ্ট্রপতি", "ভারতীয়"],
    "sw": ["Nairobi", "Nairobini", "Kenya", "Kenya Airways", "Uganda"],
    "es": ["español", "española", "México", "México D. F.", "Perú"],
    "ru": ["Москва", "Москвы", "Рим", "Римма", "русский", "Русская правда", "Мали", "Малийский"],
    "fr": ["français", "française", "Paris", "Parisien", "Niger", "Nigeria"],
    "ja": ["日本", "日本放送協会", "Goo", "Google", "東京", "東京駅"],
    "zh": ["日本", "日本國有鐵道", "美国", "美国银行", "上海", "上海市"],
}


def real_names() -> dict[str, list[str]]:
    """Up to 160 labels of each language, each next to one that begins like it."""
    found: dict[str, set[str]] = {code: set() for code in PAPER_LANGUAGES}
    with bz2.open(shared("data/wikidata_labels.jsonl.bz2"), "rt", encoding="utf-8") as lines:
        for line in lines:
            for code, text in json.loads(line)["labels"].items():
                found[code].add(text)
    close = {}
    for code, texts in found.items():
        pairs = [pair for pair in pairwise(sorted(texts)) if pair[0][:4] == pair[1][:4]]
        close[code] = [text for pair in pairs[:: max(len(pairs) // 80, 1)][:80] for text in pair]
    return close


def check(names: dict[str, list[str]]) -> tuple[int, int]:
    """The items that validation refuses, all found by the audit, and those that it passes, none of them found."""
    rows, aliases, refused, passed = clean_rows(160), [], set(), 0
    for number, row in enumerate(rows):
        row["object_id"] = f"Q{900_000 + number}"
        people = all_relations()[row["property_id"]].people
        for code in PAPER_LANGUAGES:
            entry, held = language(code), names[code]
            shown = [usable(held[(number + shift) % len(held)], entry) or entry.autonym for shift in (0, 1, 3)]
            gold, subject, alias = shown[number % 2], shown[1 - number % 2], shown[2]
            item = row["translations"][code]
            item["question"] = entry.question(row["property_id"], None, subject)
            item["subject_label"], item["answer_text"] = subject, gold
            item[f"option_{'abcd'[item['answer_index']]}"] = gold
            aliases.append({"entity": row["object_id"], "code": entry.labels[0], "text": alias})
            reason = fault(item["question"], subject, gold, code, people, [alias])
            if reason in ("gold_in_question", "gold_inflected", "surname_in_question", "alias_in_question"):
                refused.add((row["fact_id"], code))
            passed += reason is None
    section = audited(leakage, rows, aliases=pa.Table.from_pylist(aliases))
    checks = ("leak_gold", "leak_alias", "leak_inflected", "leak_surname")
    found = {(f["fact_id"], f["language"]) for f in section.findings({}).to_pylist() if f["check"] in checks}
    assert refused <= found, sorted(refused - found)[:3]
    # A subject that is the answer is refused for that reason, and is a leak as well.
    for row in rows:
        for code, item in row["translations"].items():
            people = all_relations()[row["property_id"]].people
            reason = fault(item["question"], item["subject_label"], item["answer_text"], code, people)
            if reason in ("subject_is_gold", "half_transliterated"):
                found.discard((row["fact_id"], code))
    assert found <= refused, sorted(found - refused)[:3]
    return len(refused), passed


def test_on_names_that_hold_each_other() -> None:
    refused, passed = check(NAMES)
    assert refused > 200 and passed > 200


def test_on_real_labels() -> None:
    refused, passed = check(real_names())
    assert refused > 40 and passed > 200
