"""Scores are numbers, and the journal's results are those of one model.

python -m pytest tests/engine/test_inference.py
"""

import json

import pytest
import torch
from helpers import with_adapter
from transformers import LlamaForCausalLM

from utils.data.conversations import names_of
from utils.engine.inference import Journal, fingerprint, generate_published, score_row, score_trees
from utils.engine.prefix_tree import TreeEncoder
from utils.engine.settings import Writing
from utils.models.load import load_model
from utils.system import progress
from utils.system.errors import ModelError
from utils.tasks import emotion


def test_scores_that_are_no_numbers_are_refused(tiny_model_folder, conversations):
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="torch.float32 are no numbers: give precision bfloat16 or float32"):
        score_row(model, TreeEncoder(tokenizer)(emotion.tree(conversations[0]), False))


def test_who_follows_an_inference_reads_how_far_it_is(tiny_model_folder, conversations, tmp_path, monkeypatch):
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    trees = [emotion.tree(c) for c in conversations]
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "progress"))
    for name in ("FIRST", "EVERY", "SHARE"):
        monkeypatch.setattr(progress, name, 0)
    score_trees(model, tokenizer, trees, names_of(conversations), 10, 4096, progress="emotions")
    lines = (tmp_path / "progress").read_text(encoding="utf-8").splitlines()
    assert [line.partition(" rows, ")[0] for line in lines] == [f"emotions: {k} of 3" for k in (1, 2, 3)]


# ---- the journal ----------------------------------------------------------------------------------------------------


def test_generated_texts_of_another_adapter_are_not_taken_from_the_journal(tiny_model_folder, tmp_path):
    journal, prompts = Journal(tmp_path / "unfinished.jsonl"), [("a", "Hello"), ("b", "Where are you?")]
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    generate_published(model, tokenizer, prompts, Writing(new_tokens=5), 2, "", journal)
    model = with_adapter(tiny_model_folder, std=0.5)
    assert generate_published(model, tokenizer, prompts, Writing(new_tokens=5), 2, "", journal) == generate_published(
        model, tokenizer, prompts, Writing(new_tokens=5), 2, ""
    )
    assert len(journal.results) == 2


def test_a_result_with_too_few_answers_is_computed_again(tiny_model_folder, conversations, tmp_path):
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    path, trees = tmp_path / "unfinished.jsonl", [emotion.tree(c) for c in conversations]

    def scored():
        return score_trees(model, tokenizer, trees, names_of(conversations), 1, 4096, journal=Journal(path))

    wanted = scored()
    key, result = json.loads(path.read_text("utf-8").splitlines()[-1])
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps([key, [result[0][:-1], *result[1:]]])}")
    assert scored() == wanted


def test_results_of_another_base_model_or_precision_are_another_models(tiny_model_folder, tmp_path):
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    one = fingerprint(model)
    assert fingerprint(load_model(tiny_model_folder, precision="bfloat16")[0]) != one
    tokenizer.save_pretrained(tmp_path)
    LlamaForCausalLM(model.config).save_pretrained(tmp_path)
    assert fingerprint(load_model(str(tmp_path), precision="float32")[0]) != one
