"""The cost of a run of requests: a probe, an estimate derived from it, and a budget that is never exceeded.

The first requests of a run are the probe; nothing else is sent until they are answered. The rest is then estimated
from their tokens and the estimate is printed. A run with prices continues only within its budget.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from polyfact_dataset.common.errors import ConfigError, PolyFactError
from polyfact_dataset.common.progress import Log
from polyfact_dataset.config.models import LlmConfig
from polyfact_dataset.llm.protocol import Answer, TokenUsage

_PER = 1_000_000


class BudgetTracker:
    """Admits requests and counts what is billed. `left()` is the number of requests still expected."""

    def __init__(self, config: LlmConfig, log: Log, left: Callable[[], int]) -> None:
        self._config, self.log, self.left = config, log, left
        self._prices = (config.price_in_usd or 0.0) / _PER, (config.price_out_usd or 0.0) / _PER
        self._search_price = (config.price_search_usd or 0.0) / 1000
        self.admitted = self.done = self.prompt_tokens = self.completion_tokens = self.searches = 0
        self._billed = 0
        self._started: float | None = None
        self._probed = asyncio.Event()
        self._refusal: PolyFactError | None = None

    @property
    def spent_usd(self) -> float:
        """The price of everything billed so far, unusable responses included."""
        tokens = self.prompt_tokens * self._prices[0] + self.completion_tokens * self._prices[1]
        return tokens + self.searches * self._search_price

    async def admit(self) -> None:
        """Returns when one more request may be sent. Raises `ConfigError` when the budget does not allow it."""
        self.admitted += 1
        self._started = time.monotonic() if self._started is None else self._started
        if self.admitted > self._config.probe_requests:
            await self._probed.wait()
        self.check()

    def check(self) -> None:
        """Raises the error that ended the run, if any, or `ConfigError` when the budget is used up."""
        if self._refusal is None and self._over(self.spent_usd + self._pending_usd()):
            self._refusal = ConfigError(
                f"the budget of {self._config.budget_usd:.2f} USD is used up ({self.spent_usd:.2f} USD for "
                f"{self.done:,} answers, which are kept); rerun with a larger --budget to continue"
            )
        if self._refusal is not None:
            raise self._refusal

    def refuse(self, error: PolyFactError) -> None:
        """Admits nothing more: every later caller gets `error`."""
        self._refusal = self._refusal or error
        self._probed.set()

    def bill(self, usage: TokenUsage) -> None:
        """Counts a billed response, whether or not it is usable."""
        self._billed += 1
        self.prompt_tokens += usage.prompt
        self.completion_tokens += usage.completion
        self.searches += usage.searches

    def record(self, answer: Answer | None) -> None:
        """Counts an answer, or (None) a request that was given up."""
        self.done += 1
        if answer is not None:
            self.bill(answer.usage)
        if self.done == self._config.probe_requests:
            self._decide()

    def _pending_usd(self) -> float:
        """The minimum cost of the requests in flight: one response each, at the mean price so far."""
        return (self.admitted - self.done) * self.spent_usd / self._billed if self._billed else 0.0

    def _over(self, usd: float) -> bool:
        return self._config.budget_usd is not None and usd > self._config.budget_usd

    def _decide(self) -> None:
        """Estimates the rest from the probe, prints it, and admits it or refuses it for good."""
        left = self.left()
        prompt, completion = self.prompt_tokens / self.done, self.completion_tokens / self.done
        rate = self.done / max(time.monotonic() - (self._started or 0.0), 1e-3)
        usd = self.spent_usd * left / self.done
        paid = self._prices != (0.0, 0.0) or self._search_price > 0
        searches = f", {self.searches / self.done:,.1f} web searches a request" if self.searches else ""
        self.log.line(
            f"probe of {self.done}: {prompt:,.0f} + {completion:,.0f} tokens a request{searches}, "
            f"{rate:,.1f} requests/s; "
            f"about {left:,} left: {left * prompt:,.0f} + {left * completion:,.0f} tokens, {_duration(left / rate)}"
            + (f", {usd:,.2f} USD (without retries)" if paid else "")
        )
        if paid and (self._config.budget_usd is None or self._over(self.spent_usd + usd)):
            budget = "no --budget is given" if self._config.budget_usd is None else "that is above --budget"
            self._refusal = ConfigError(
                f"about {left:,} requests are left, for about {usd:,.2f} USD, and {budget}; the {self.done} answers of "
                f"the probe ({self.spent_usd:.4f} USD) are kept. To continue: --budget "
                f"{1.2 * (self.spent_usd + usd):.2f}"
            )
        self._probed.set()


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
