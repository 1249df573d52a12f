"""Options that several commands share are written once, and arrive as the dataclass that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from polyfact_dataset.cli.option_groups import option_groups


@dataclass(frozen=True, kw_only=True)
class Model:
    model: Annotated[str, typer.Option(help="Its name.")]
    dtype: Annotated[str, typer.Option(help="Its precision.")] = "auto"
    hidden: bool = field(default=False, init=False)


@dataclass(frozen=True, kw_only=True)
class Items:
    limit: Annotated[int | None, typer.Option(min=1, help="How many.")] = None
    split: str = "test"


calls: list[tuple[Model, str, Items]] = []


@option_groups
def command(
    model: Model,
    style: Annotated[str, typer.Option(help="The prompt.")] = "paper",
    items: Items = Items(limit=100),
) -> int:
    """Does it."""
    calls.append((model, style, items))
    return len(calls)


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


def test_fields_are_options_and_defaults_those_of_the_command() -> None:
    app = typer.Typer()
    app.command()(command)
    assert CliRunner().invoke(app, ["--model", "m", "--split", "train"]).exit_code == 0
    assert CliRunner().invoke(app, ["--model", "m", "--limit", "3", "--dtype", "float16"]).exit_code == 0
    assert calls == [
        (Model(model="m"), "paper", Items(limit=100, split="train")),
        (Model(model="m", dtype="float16"), "paper", Items(limit=3)),
    ]
    (parameters,) = [typer.main.get_command(app).params]
    assert {parameter.name for parameter in parameters} >= {"model", "dtype", "style", "limit", "split"}
    assert not {parameter.name for parameter in parameters} & {"items", "hidden"}
    assert CliRunner().invoke(app, ["--limit", "3"]).exit_code == 2, "the model is required"
    assert CliRunner().invoke(app, ["--model", "m", "--limit", "0"]).exit_code == 2, "bounds hold"


def test_it_is_called_with_the_fields_as_keywords() -> None:
    assert command(model="m", limit=None) == 1
    assert calls.pop() == (Model(model="m"), "paper", Items())
    with pytest.raises(TypeError, match="model"):
        command(limit=1)
    with pytest.raises(TypeError, match="items"):
        command(model="m", items=Items())
