"""The gates of the audit with their limits and reasons, and the audit's other settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from polyfact_dataset.config.base import Section


class Gate(Section):
    """One condition of the audit: the figure must be `at` most or least `limit`, and why."""

    at: Literal["most", "least"] = "most"
    limit: float
    reason: str = Field(min_length=10)


def _most(limit: float, reason: str) -> Gate:
    return Gate(limit=limit, reason=reason)


def _least(limit: float, reason: str) -> Gate:
    return Gate(at="least", limit=limit, reason=reason)


# Every gate of the audit. A figure counts facts or items unless its reason says otherwise.
GATES: dict[str, Gate] = {
    # integrity
    "files": _most(0, "data files must match the manifest"),
    "complete": _most(0, "every fact needs all languages and all fields, so that languages can be compared"),
    "marked": _most(
        0, "the marked option must be the fact's object and its text the answer, or scores are meaningless"
    ),
    "distinct": _most(0, "two options with the same text cannot be told apart, so the item has no unique answer"),
    "same_in_configs": _most(0, "a language's config and the parallel one must hold the same items"),
    "open_items": _most(0, "config open must ask the same questions, accept the answer, and accept no other option"),
    "splits_present": _most(0, "splits without facts: evaluation needs validation and test"),
    # shortcuts
    "shortcut_pooled": _most(
        3.0, "standard errors (by fact) from chance of the worst rule over all languages and splits"
    ),
    "shortcut_cells": _least(
        0.01, "smallest p over rules x splits x languages, Bonferroni-corrected: one chance refusal in 100 builds"
    ),
    "overlap_pooled": _most(0.40, "accuracy in PolyFact-Clean of the option that is most like the question"),
    "overlap_relation": _most(0.40, "the same in one relation: lower bound by an exact binomial test"),
    # attackers that read the question
    "attacker_wording": _most(3.0, "standard errors above chance: a wording that goes with an answer gives it away"),
    "attacker_popularity": _most(3.0, "standard errors above chance: known subjects go with known answers"),
    "attacker_likeness": _most(
        0.27, "accuracy in PolyFact-Clean that is certain: names that are like their answers are in tier bronze"
    ),
    "attacker_likeness_relation": _most(
        0.40, "the same in one relation, however few its facts: no relation was certainly above 0.24"
    ),
    "attacker_all_text": _most(
        0.34, "accuracy in PolyFact-Clean that is certain: names tell where things are from; 0.31 to 0.32 was reached"
    ),
    "attacker_all_text_relation": _most(
        0.65, "the same in one relation: products of few makers tell them by their names and kinds (P176: 0.36 to 0.57)"
    ),
    # leakage
    "leak_gold": _most(0, "a question that contains its answer measures reading, not recall"),
    "leak_alias": _most(0, "another name of the answer reveals it as its label does"),
    "leak_inflected": _most(0, "the answer in another case (Deutschlands, Москвы) reveals it as well"),
    "leak_surname": _most(0, "a person's family name in the question reveals the answer as the full name does"),
    "leak_distractor": _most(
        0, "an option that occurs in the question attracts or repels choices: it is not exchangeable"
    ),
    "leak_subject": _most(0, "the subject cannot be the answer to a question about itself: only three options remain"),
    # answerability
    "subject_named": _most(0, "a question that does not name its subject has no answer"),
    "one_gold": _most(0, "one question with two golds: the subject's name does not identify it"),
    "duplicates": _most(0, "a repeated fact counts twice, or is in two splits"),
    "second_answer": _most(0, "an option that is also currently true makes the answer ambiguous"),
    "one_relation": _most(0, "the same question is used for another relation, whose answer is not this gold"),
    # parallelism
    "same_entities": _most(0, "consistency across languages needs the same four entities in each"),
    "own_wording": _most(0, "a question in another language's letters, or in most of its words, was not translated"),
    "length_band": _most(
        0.005, "share of questions whose length against English is far from their language's and wording's usual one"
    ),
    # scripts
    "script": _most(0, "a text in a script that the language does not use makes its option conspicuous"),
    "mixed_word": _most(0, "two alphabets inside one word: a name transliterated half-way"),
    "confusable": _most(0, "a look-alike letter inside a word (Latin o in a Cyrillic name) breaks every comparison"),
    "characters": _most(
        0, "control, bidirectional, private-use and unassigned characters change or hide the displayed text"
    ),
    "normal_form": _most(0, "text in another form than Unicode NFC differs from what looks the same"),
    "mixed_name": _most(
        0, "a name of which a part stayed in Latin letters (Лос-Angeles, ロンdon) makes its option conspicuous"
    ),
    "traditional": _most(0, "Chinese is shipped in Simplified characters; a Traditional one is conspicuous"),
    "markup": _most(0, "HTML, wiki text and web addresses do not belong in a question or a name"),
    "joiners": _most(0, "a joiner that shapes no letter is invisible and breaks every comparison"),
    # language identification
    "language": _most(
        0.01, "largest share, over languages, of questions that are identified with confidence as another language"
    ),
    "language_wording": _most(
        0,
        "wordings in another language: identified with confidence over 10 facts, or without doubt in one of "
        "the release",
    ),
    # splits and balance
    "split_subjects": _most(0, "a subject in two splits lets training on one split answer the other"),
    "relation_splits": _most(
        0, "relations with held-out facts that lack four facts in some split: they cannot be scored"
    ),
    "answer_share": _most(0.25, "largest share of one answer in its stratum: more cannot be balanced by distractors"),
    "multiplicity": _most(0.02, "share of options beyond four per gold; withdrawing a judged fact leaves a few"),
    "multiplicity_clean": _most(0.02, "the same in PolyFact-Clean, which holds whole blocks"),
    "gold_position": _least(
        1e-4,
        "smallest chi-square p over languages x splits, Bonferroni-corrected; below what one release in ten thousand "
        "has by chance",
    ),
    # labels
    "gold_tier": _most(0, "tier gold requires that Wikidata attests every label of the item"),
    # names
    "one_text": _most(0, "an entity that is shown by two texts in one language: one of them is another's name"),
    "alias_option": _most(0, "an option that is another name of the answer is correct as well"),
    # shared columns
    "shared_columns": _most(0, "columns that contradict their items make selections by them wrong"),
    # writing and cues
    "negation": _most(0, "a negated question asks for something that the fact does not state"),
    "catch_all": _most(0, "`all of the above` and similar options are not entities"),
    "article": _most(0, "a question that ends in an article reveals the gender or the first letter of its answer"),
    "cue_gold": _least(
        0.01,
        "smallest p of `the one option with another first letter, class word or noun of the question` being the gold, "
        "Bonferroni-corrected",
    ),
    "odd_option": _least(
        0.01, "smallest p of `the one option with a bracket, digit, ...` being the gold, Bonferroni-corrected"
    ),
}


class AuditConfig(Section):
    """Limits that a release must meet. A gate that is overridden states its reason."""

    gates: dict[str, Gate] = Field(default_factory=lambda: dict(GATES))
    # Number of findings shown in the report; the findings table contains all.
    examples: int = Field(default=20, ge=1)
    # Attackers are scored on the held-out splits where they hold so many facts; else by cross-validation over at most
    # so many facts. They are trained in so many languages.
    attacker_held_out: int = Field(default=2000, ge=1)
    attacker_facts: int = Field(default=10_000, ge=12)
    attacker_languages: int = Field(default=2, ge=1)
    # Number of train items that a classifier is trained on, evenly spaced.
    classifier_facts: int = Field(default=20_000, ge=1)
    # Languages other than those of the release that a question might be in by mistake. Malay is not among them: in
    # short texts it cannot be distinguished from Indonesian.
    identify_also: tuple[str, ...] = ("it", "nl", "ca", "tr", "fa", "uk")
    # An identification counts as confident from this confidence (0 to 1, over all candidate languages).
    identify_confidence: float = Field(default=0.8, gt=0.5, le=1)
    # A confident identification is without doubt where the wording's expected language is at most this likely.
    identify_own: float = Field(default=0.05, ge=0, lt=0.5)
    # Words that two languages' wordings of one fact may share, as a share of the shorter one's: with English, and
    # among the other languages, some of which are closely related.
    shared_words_english: float = Field(default=0.6, gt=0, le=1)
    shared_words: float = Field(default=0.75, gt=0, le=1)
    # A question's length against English may be this many times its usual ratio, either way.
    length_factor: float = Field(default=2.0, gt=1)

    @field_validator("gates", mode="before")
    @classmethod
    def _complete(cls, overrides: dict[str, Any]) -> dict[str, Any]:
        unknown = [name for name in overrides if name not in GATES]
        if unknown:
            raise ValueError(f"unknown gates {', '.join(unknown)}; known are {', '.join(GATES)}")
        return {name: overrides.get(name, gate) for name, gate in GATES.items()}
