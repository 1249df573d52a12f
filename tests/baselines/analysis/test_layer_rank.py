"""Layer ranks on a model whose third layer switches language, and the tokens that are ranked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.analysis import ranks
from baselines.analysis.layer_rank import (
    FirstToken,
    Probe,
    compare,
    draw,
    examples,
    first_token,
    probes_of,
    rank_probes,
    summarise,
)
from baselines.data import Fact, Item
from baselines.prompts import Prompt
from tests.support.analysis_results import result
from tests.support.planted_models import blank, random_qwen2

QUESTION = 24


def switching_model(layer):
    """After the question token the answer is token 1, until `layer` adds more of token 10."""
    model = blank()
    with torch.no_grad():
        model.model.embed_tokens.weight[QUESTION, [5, 6]] = 1.0
        model.lm_head.weight[1, 5] = 1.0
        model.lm_head.weight[10, 7] = 1.0
        mlp = model.model.layers[layer].mlp
        mlp.gate_proj.weight[0, 6] = mlp.up_proj.weight[0, 6] = 10.0
        mlp.down_proj.weight[7, 0] = 1.0
    return model


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_the_planted_layer_is_where_the_language_switches(layer):
    probes = [Probe("f", "bb", "word", (3,) * length + (QUESTION,), 10, 1) for length in (4, 1, 2)]
    found = rank_probes(switching_model(layer), probes, batch=2)
    assert (ranks.switch_layers(*found) == layer + 1).all()
    english_first = [2 if number >= layer else 1 for number in range(4)]
    assert found[1].tolist() == [english_first] * 3
    assert (found[0, :, layer:] == 1).all()
    assert (found[0, :, :layer] == 2).all()


def test_ranks_are_those_of_a_plain_forward_pass():
    model = random_qwen2(layers=3)
    with torch.no_grad():  # a norm of ones would scale all logits alike, and change no rank
        model.model.norm.weight.normal_()
    probes = [Probe("f", "bb", "word", ids, 4, 11) for ids in ((1, 2, 3), (5, 6), (9, 8, 7, 6, 5))]
    found = rank_probes(model, probes, batch=3)
    for number, probe in enumerate(probes):
        with torch.inference_mode():
            output = model(torch.tensor([probe.ids]), output_hidden_states=True)
            for layer in range(3):
                state = output.hidden_states[layer + 1][0, -1]
                # The library gives the last state after the norm.
                logits = output.logits[0, -1] if layer == 2 else model.lm_head(model.model.norm(state))
                expected = [1 + int((logits > logits[token]).sum()) for token in (4, 11)]
                assert found[:, number, layer].tolist() == expected
    assert len(set(found.ravel().tolist())) > 5


def test_switch_layer_is_the_start_of_the_last_run():
    target = [[5, 1, 5, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 9], [3, 3, 3, 3, 2]]
    assert ranks.switch_layers(target, np.full((4, 5), 2)).tolist() == [4, 1, 6, 6]


def test_means_over_probes():
    mean = ranks.Transition.of([[100, 1], [1, 4]], [[10, 2], [10, 2]])
    assert mean.target == pytest.approx([10, 2])
    assert mean.english == pytest.approx([10, 2])
    assert mean.target_first.tolist() == [0.5, 0.5]
    assert (mean.stuck, mean.median_switch) == (0.5, 2.0)
    empty = ranks.Transition.of(np.zeros((0, 2)), np.zeros((0, 2)))
    assert np.isnan(empty.target).all() and empty.median_switch is None


class Letters:
    """One token per character; a space and `b` merge to one token, as do a colon and `m`."""

    merges = (" b", ":m")

    def __call__(self, text):
        ids, place = [], 0
        while place < len(text):
            size = 2 if text[place : place + 2] in self.merges else 1
            ids.append(sum(ord(c) * 1000**i for i, c in enumerate(text[place : place + size])))
            place += size
        return {"input_ids": ids}

    def decode(self, ids):
        return "".join(chr(i % 1000) + (chr(i // 1000) if i > 999 else "") for i in ids)


def test_first_tokens():
    asked = Prompt("Q:", " ")
    assert first_token(Letters(), asked, "London") == FirstToken((81, 58, 32), ord("L"))
    assert first_token(Letters(), asked, "bonn") == FirstToken((81, 58), 32 + 1000 * ord("b"))
    assert first_token(Letters(), Prompt("Q:", ""), "mali").fault == "merged"
    assert first_token(Letters(), asked, " ").fault == "blank"


def fact_of(number, english, german):
    items = {}
    for code, gold in (("en", english), ("de", german)):
        items[code] = Item("who?", (gold, "x", "y", "z"), ("Q1", "Q2", "Q3", "Q4"), 0)
    return Fact(f"Q{number}|P1|Q9", f"Q{number}", "P1", "Q9", items)


def test_collisions_are_counted_and_left_out():
    facts = [fact_of(1, "London", "Paris"), fact_of(2, "Rome", "Rom"), fact_of(3, "berlin", "Xanten")]
    probes, counts = probes_of(facts, Letters(), "plain")
    assert [(probe.fact_id, probe.language, chr(probe.target), chr(probe.english)) for probe in probes] == [
        ("Q1|P1|Q9", "de", "P", "L")
    ]
    assert counts == {"de": {"used": 1, "collision": 1, "blank": 1}}
    assert Letters().decode(probes[0].ids).endswith("Answer: ")


def test_two_models_side_by_side_show_the_switched_probes():
    probes = [Probe(f"f{n}", "de", "gold", (1,), 2, 3) for n in range(3)]
    before = np.array([[[9, 9], [9, 9], [1, 1]], [[1, 1], [1, 1], [5, 5]]])
    after = np.array([[[9, 1], [9, 9], [1, 1]], [[1, 4], [1, 1], [5, 5]]])
    counts = {"de": {"used": 3, "collision": 2, "blank": 0, "merged": 0}}
    loaded = []
    for label, found in (("base", before), ("trained", after)):
        metrics, arrays = summarise(probes, found, counts)
        loaded.append((result("layer_rank", label, ("de",), metrics), arrays))
    assert examples(loaded) == [0]
    assert examples(loaded[:1]) == [0, 1]
    rows = compare(loaded)
    assert [row["ends in English (%)"] for row in rows] == [pytest.approx(200 / 3), pytest.approx(100 / 3)]
    assert [row["median switch layer"] for row in rows] == [1.0, 1.5]
    assert [figure.name for figure in draw(loaded)] == ["rank_means", "rank_examples"]
