"""The codes of the reasons for which a stage rejects facts; `docs/maintaining.md` explains them."""

from __future__ import annotations

# By the first stage that uses them, without the language after the colon. Codes of a model begin with `model_`.
REASONS = (
    # candidates
    "repeated",
    "deprecated",
    "not_best_rank",
    "ended",
    "self_reference",
    "subject_not_a_thing",
    "subject_is_no_more",
    "object_not_in_dump",
    "subject_unlabelled",
    "object_unlabelled",
    "unexpected_type",
    "catalogue_designation",
    "not_unique",
    "beyond_pool",
    # backfill
    "subject_deleted",
    "object_deleted",
    # questions
    "namesake_no_description",
    "namesake_same_description",
    "namesake_description_answers",
    "namesake_not_described",
    "subject_of_another_kind",
    "not_asked",
    "subject_untranslated",
    "object_untranslated",
    # validate
    "subject_is_gold",
    "gold_in_question",
    "gold_inflected",
    "surname_in_question",
    "alias_in_question",
    "subject_not_named",
    "empty_question",
    "half_transliterated",
    "ambiguous_subject",
    "same_question",
    "erratum",
    # sample
    "excluded",
    "subject_already_asked",
    "relation_too_small",
    "not_sampled",
    "no_distractors",
    # tier
    "judged_incorrect",
)


def is_reason(reason: str) -> bool:
    """Whether a reason, with or without its language, is one of the documented codes."""
    code = reason.partition(":")[0]
    return code in REASONS or code.startswith("model_")
