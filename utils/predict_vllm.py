"""utils.predict for very many conversations: the same labels from vLLM, which batches prompts and remembers prefixes.

    pip install vllm                # a GPU, and best an environment of its own: it brings its own torch
    python -m utils.predict_vllm CONVERSATIONS.json --out PRED.json --emotion-adapter DIR --cause-adapter DIR

A question is a prompt here: its path through the conversation's tree, token for token, so the engine's prefix cache
holds what a conversation's questions share. The answer is one token: the log-probabilities of the answers' first tokens
are asked for by their ids. Both adapters lie on one base model. Ray Data is the way to many nodes, a process a card:

    texts = ray.data.from_items([{"conversation": json.dumps(c)} for c in conversations])
    texts.map_batches(Labeller, fn_constructor_args=(EMOTION_DIR, CAUSE_DIR), num_gpus=1, concurrency=8, batch_size=512)

Written against vLLM 0.33 and Ray Data, and not run with either: that needs a GPU. Run was all but the engine, with
transformers in its place (tests/doors/test_predict_vllm.py).
"""

import argparse
import json
import sys
from functools import partial
from typing import Any

from utils.data.captions import check_captions
from utils.data.conversations import without_labels
from utils.data.given import inputs_of, read_given
from utils.engine.prefix_tree import paths
from utils.engine.rows import encode_trees
from utils.record.adapter import choose_adapters, labels_of, trained_with
from utils.system.command import add_adapters, command
from utils.system.errors import EngineError, RunError
from utils.system.files import check_output, write_json
from utils.system.parameters import names_in
from utils.tasks.cause import Cause

RANKS = (8, 16, 32, 64, 128, 256)  # what vLLM reserves for an adapter


def questions(rows: list) -> list[tuple[list[int], list[int]]]:
    """(the prompt's token ids, the first token of each allowed answer) of every question of `rows` (prefix_tree.Row).

    Raises EngineError where two answers begin with the same token: one token cannot tell them apart.
    """
    found = []
    for answers in (answers for row in rows for answers in row.answers):
        first = [answer[0][1] for answer in answers]
        if len(set(first)) < len(first):
            raise EngineError("two answers begin with the same token in this model's tokenizer: use utils.predict")
        found.append(first)
    prompts = [paths(row, [answers[0][0]])[0][0] for row in rows for answers in row.answers]
    return list(zip(prompts, found))


class Labeller:
    """Both adapters on one engine. Called with conversations, it labels them as utils.predict does; called with a batch
    of Ray Data, {"conversation": array of JSON texts}, it returns such a batch."""

    def __init__(self, emotion_adapter, cause_adapter, engine=None, max_row_tokens: int | None = None):
        """engine: a vllm.LLM with both adapters' ranks; None: made here. max_row_tokens: instead of the adapters' own.
        Raises EngineError, ModelError."""
        from utils.models.load import load_tokenizer

        self.adapters = {"emotion": str(emotion_adapter), "cause": str(cause_adapter)}
        self.emotion, self.cause = (trained_with(one, max_row_tokens) for one in (emotion_adapter, cause_adapter))
        if (self.emotion.model, self.emotion.quantization) != (self.cause.model, self.cause.quantization):
            raise EngineError("the adapters have different base models, and the engine holds one: use utils.predict")
        self.limits = {"emotion": self.emotion.max_row_tokens, "cause": self.cause.max_row_tokens}
        if self.emotion.encoder or self.cause.encoder:
            raise EngineError("this run has an encoder beside its adapters: use utils.predict")
        if names_in(self.emotion.streams) or names_in(self.cause.streams):
            raise EngineError("the adapters read vectors, and this engine reads tokens alone: use utils.predict")
        self.captions = (*names_in(self.emotion.captions), *names_in(self.cause.captions))
        labels = labels_of(emotion_adapter)
        self.tasks: dict[str, Any] = {
            "emotion": self.emotion.task("emotion", labels).trained(emotion_adapter),
            "cause": self.cause.task("cause", labels).trained(cause_adapter),
        }
        one_pass = {self.emotion.recipe, self.cause.recipe} == {"one_pass"}
        if not one_pass or not isinstance(self.tasks["cause"], Cause):
            raise EngineError("only recipe one_pass, cause_form candidates has one-token answers: use utils.predict")
        self.tokenizer = load_tokenizer(self.emotion.model)
        self.engine = engine or self._engine()

    def _engine(self):
        try:
            from vllm import LLM
        except ImportError as error:
            raise EngineError(f"no vLLM ({error}): run `pip install vllm` on a machine with a GPU") from error
        from utils.models.load import source
        from utils.models.methods import adapter_record
        from utils.system.hardware import choose_precision

        records = [adapter_record(folder) for folder in self.adapters.values()]
        if any(one.get("peft_type", "LORA") != "LORA" or one.get("use_dora") for one in records):
            raise EngineError("vLLM takes adapters of the kind lora alone: use utils.predict")
        ranks = [one["r"] for one in records]
        if max(ranks) > max(RANKS):
            raise EngineError(f"vLLM takes adapters up to rank {max(RANKS)}, and these have {ranks}: use utils.predict")
        precision = self.emotion.precision
        return LLM(
            model=str(source(self.emotion.model)),
            dtype=choose_precision() if precision == "auto" else precision,
            quantization="bitsandbytes" if self.emotion.quantization == "nf4" else None,
            enable_prefix_caching=True,
            enable_lora=True,
            max_loras=2,
            max_lora_rank=next(rank for rank in RANKS if rank >= max(ranks)),
        )

    def _scores(self, task: str, trees: list, names: list[str], progress: str) -> list:
        """For each tree, for each of its questions, the log-probability of each allowed answer's first token."""
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        rows = encode_trees(trees, names, self.tokenizer, self.limits[task], train=False)
        asked = questions(rows)
        outputs = self.engine.generate(
            [{"prompt_token_ids": prompt} for prompt, _ in asked],
            [
                SamplingParams(temperature=0, max_tokens=1, detokenize=False, logprob_token_ids=first)
                for _, first in asked
            ],
            lora_request=LoRARequest(task, 1 + list(self.adapters).index(task), self.adapters[task]),
        )
        found = (
            [output.outputs[0].logprobs[0][token].logprob for token in first]
            for output, (_, first) in zip(outputs, asked, strict=True)
        )
        return [[next(found) for _ in row.answers] for row in rows]

    def __call__(self, given):
        if isinstance(given, dict):
            labelled = self([json.loads(text) for text in given["conversation"]])
            return {"conversation": [json.dumps(c, ensure_ascii=False) for c in labelled]}
        from utils.tasks.ask import search_all

        check_captions(given, "conversations", self.captions)
        given = [without_labels(c) for c in given]
        labelled, tables = search_all(self.tasks["emotion"], given, partial(self._scores, "emotion"))
        task = self.tasks["cause"].given_emotions(labelled, tables)
        return search_all(task, labelled, partial(self._scores, "cause"))[0]


@command("utils.predict_vllm")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for input, adapters or an engine that cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.predict_vllm", description="Label conversations with emotions and their causes, by vLLM."
    )
    parser.add_argument("conversations", help="file (utils/data/given.py), the folder that holds it, or - for stdin")
    parser.add_argument("--out", required=True, metavar="PRED.json", help="where the labelled conversations go")
    add_adapters(parser)
    arguments = parser.parse_args(argv)
    check_output(arguments.out, *inputs_of(arguments.conversations))
    conversations = read_given(arguments.conversations)
    adapters = choose_adapters(arguments.emotion_adapter, arguments.cause_adapter, arguments.run)
    if adapters[1] is None:
        raise RunError(f"{adapters[0]} has no cause adapter beside it; give --cause-adapter, or use utils.predict")
    for adapter in adapters:  # with the file's name, and before the engine is loaded
        check_captions(conversations, arguments.conversations, names_in(trained_with(adapter).captions))
    labelled = Labeller(*adapters, max_row_tokens=arguments.max_row_tokens)(conversations)
    write_json(labelled, arguments.out)
    print(f"{len(labelled)} conversations labelled: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
