"""PolyFact as tasks of LightEval 0.13: `polyfact:<lang>` and `polyfact_clean:<lang>`, with the prompt `paper`.

    lighteval accelerate "model_name=M" "polyfact_clean:sw|0" --custom-tasks baselines.evaluate.lighteval_tasks

LightEval reads this file; nothing else here needs it. Accuracy is over log-probabilities as they are, per character
and per token. `POLYFACT_DATASET` names another release by its folder or Hub id. The languages are those of a folder,
and the paper's for an id, unless `POLYFACT_LANGUAGES` lists others (`en,ko`).
"""

from __future__ import annotations

import os
from typing import Any

from lighteval.metrics.dynamic_metrics import LogLikelihoodAccMetric
from lighteval.metrics.normalizations import LogProbCharNorm, LogProbTokenNorm
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc

from baselines.data import languages_of
from baselines.evaluate.options import DATASET, split_list
from baselines.prompts import prompt
from polyfact_dataset.schema import OPTIONS

VERSION = 1
SOURCE = os.environ.get("POLYFACT_DATASET", DATASET)


def document(line: dict[str, Any], task_name: str | None = None) -> Any:
    """A row of a config of one language as LightEval's document."""
    asked = prompt("paper", line["language"], line["question"])
    return Doc(
        task_name=task_name,
        query=asked.text,
        choices=[asked.separator + line[option] for option in OPTIONS],
        gold_index=line["answer_index"],
    )


def config(name: str, subset: str) -> Any:
    """One language of one config."""
    return LightevalTaskConfig(
        name=name,
        prompt_function=document,
        hf_repo=SOURCE,
        hf_subset=subset,
        hf_avail_splits=("train", "validation", "test"),
        evaluation_splits=("test",),
        few_shots_split="validation",
        metrics=[
            LogLikelihoodAccMetric(normalization=None),
            LogLikelihoodAccMetric(normalization=LogProbCharNorm(ignore_first_space=True)),
            LogLikelihoodAccMetric(normalization=LogProbTokenNorm()),
        ],
        version=VERSION,
    )


LANGUAGES = split_list(os.environ.get("POLYFACT_LANGUAGES")) or languages_of(SOURCE)
TASKS_TABLE = [config(f"polyfact:{code}", code) for code in LANGUAGES]
TASKS_TABLE += [config(f"polyfact_clean:{code}", f"clean_{code}") for code in LANGUAGES]
