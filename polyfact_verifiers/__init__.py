"""PolyFact as an environment of `verifiers`, and so of prime-rl: one reward for a fact in all its languages.

    vf-eval polyfact-verifiers --env.taskset.dataset build/release --env.taskset.languages '["en", "sw"]' \\
        -n 20 -r 8 -m MODEL --client.base-url URL --sampling.max-tokens 48

A task is a fact, an episode one rollout of it: the model answers in every language, each in a conversation of its own,
from the prompt that GRPO uses. All conversations of an episode earn the rollout's reward R (paper, equations 1 and 2;
`baselines.rewards`), and so the same advantage over the episodes of a task. `r` and `correct` are metrics of each
conversation. Several conversations run at the same time.

The folder is named as `verifiers` finds it: an environment is a package with the name of its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf
from openai import AsyncOpenAI

from baselines.answer_lines import answer_line
from baselines.data import Fact, Item, load
from baselines.evaluate.options import DATASET
from baselines.prompts import item_prompt
from baselines.rewards import OptionJudge, RewardConfig, rollout_rewards

__all__ = ["PolyfactEnv", "PolyfactHarness", "PolyfactTaskset"]


class FactData(vf.TaskData):  # type: ignore[misc]
    """A fact, and the language of a conversation; None for the fact as a whole."""

    property_id: str
    items: dict[str, Item]
    language: str | None = None


class FactTask(vf.Task[FactData]):  # type: ignore[misc]
    """A fact in all its languages. Its conversations are judged together, by `PolyfactEnv.finalize`."""

    @property
    def key(self) -> str:
        """The same in every run."""
        return str(self.data.id)

    def in_language(self, code: str) -> FactTask:
        """The question of one language, as GRPO asks it."""
        prompt = item_prompt("choose", code, self.data.items[code]).text
        return self.with_data(prompt=prompt, language=code)  # type: ignore[no-any-return]


class PolyfactTasksetConfig(vf.TasksetConfig):  # type: ignore[misc]
    """Which facts: a release's folder or its id on the Hub; by default all its languages."""

    dataset: str = DATASET
    config: str = "clean"
    split: str = "train"
    languages: tuple[str, ...] | None = None


class PolyfactTaskset(vf.Taskset[FactTask, PolyfactTasksetConfig]):  # type: ignore[misc]
    """The facts of a split, in its order."""

    def load(self) -> Iterator[FactTask]:
        """One task per fact."""
        chosen = self.config
        for fact in load(chosen.dataset, chosen.config, chosen.split, chosen.languages):
            data = FactData(id=fact.fact_id, property_id=fact.property_id, items=dict(fact.items))
            yield FactTask(data, chosen.task)


class PolyfactEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """`reward` is that of `baselines.grpo`. No program runs, so the model needs no container."""

    agent: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())
    reward: RewardConfig = RewardConfig()
    max_concurrent_agents: int | None = None


class PolyfactEnv(vf.Env[PolyfactEnvConfig]):  # type: ignore[misc]
    """An episode asks a fact in all its languages and rewards the answers together."""

    async def run(self, task: FactTask, agents: vf.Agents) -> None:
        """Asks in all languages."""
        await asyncio.gather(*(agents.agent.run(task.in_language(code)) for code in task.data.items))

    async def finalize(self, task: FactTask, episode: vf.Episode) -> None:
        """Gives every conversation the reward of the rollout. Raises `ValueError` when a language has no answer."""
        traces = {trace.task.data.language: trace for trace in episode.traces if not trace.has_error}
        data = task.data
        if missing := [code for code in data.items if code not in traces]:
            raise ValueError(
                f"fact {data.id} has no answer in {', '.join(missing)}: its reward is that of all languages"
            )
        judge = OptionJudge([Fact(data.id, "", data.property_id, "", data.items)])
        verdicts = [judge(0, code, answer_line(traces[code].last_reply)) for code in data.items]
        by_language, rewards = rollout_rewards(verdicts, self.config.reward)
        for code, verdict, r, reward in zip(data.items, verdicts, by_language, rewards):
            traces[code].record_reward("fact", reward)
            traces[code].record_metric("r", r)
            traces[code].record_metric("correct", float(verdict.outcome == "correct"))


class PolyfactHarness(vf.Harness[vf.HarnessConfig]):  # type: ignore[misc]
    """One message and its answer, in this process."""

    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self, ctx: Any, trace: Any, runtime: Any, endpoint: str, secret: str, mcp_urls: Any, data: FactData
    ) -> Any:
        """Sends the prompt to the server of `verifiers`, which passes it on and keeps the answer."""
        async with AsyncOpenAI(base_url=endpoint, api_key=secret, max_retries=0) as client:
            _, prompt = self.resolve_text_prompt(data)
            message = {"role": "user", "content": prompt}
            await client.chat.completions.create(model=ctx.model, messages=[message])
        return vf.ProgramResult(0, "", "")
