"""The systems of the speed table, a row each: ways to train a model on conversations, and to have it label them.

A system has a name, says what it computes (`computes`), which attention it uses (None: the repository's own), and can

    train(model, tokenizer, task, conversations, folder, clock)   one optimizer step on these conversations; the history
    label(model, tokenizer, task, conversations)                  the conversations with emotions, or with pairs
    training_tokens, inference_tokens(tokenizer, task, conversations)

`task` is a Task (utils/tasks/task.py), called "emotion" or "cause"; conversations carry gold labels, and causes are
asked about gold emotions.
"""

import importlib.util
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from datasets import Dataset
from transformers import ContinuousBatchingConfig, GenerationConfig
from trl import SFTConfig, SFTTrainer

from utils.data.conversations import causes_of, names_of, with_emotions, with_pairs
from utils.data.labels import ECF
from utils.engine.prefix_tree import TreeEncoder, encode, paths
from utils.engine.rows import encode_trees
from utils.engine.settings import InferenceSettings
from utils.engine.trainer import train
from utils.models.adapters import make_trainable_float32
from utils.record.fit import examples
from utils.tasks import emotion
from utils.tasks.ask import predict, search_all
from utils.tasks.candidates import candidates, emotional
from utils.tasks.cause import Cause
from utils.tasks.cause_list import list_tree
from utils.tasks.emotion import Emotion

PUBLISHED_BATCH = 8  # prompts a forward pass, the ancestor's; for training and `generate`
PACKED = 512  # tokens that stock packing fills a sequence up to; a longer prompt makes all longer


class Published:
    """The published recipe, utils' `recipe: published`."""

    name = "published recipe"
    computes = (
        "a prompt a question, each with the whole conversation in the ancestor's verbose form. Training: SFTTrainer, "
        f"padded batches of {PUBLISHED_BATCH}, loss on every token. Inference: `generate`, up to "
        f"{Emotion.new_tokens} (emotions) and {Cause.new_tokens} (causes) new tokens, in "
        "which the label is looked for; an adapter that was not trained in this form writes all of them"
    )
    attention = "sdpa"

    def __init__(self, config):
        self.config = replace(config, recipe="published", batch_size=PUBLISHED_BATCH, compile=False)

    def train(self, model, tokenizer, task, conversations, folder, clock):
        pairs = examples(task, conversations, tokenizer, self.config)
        batches = math.ceil(len(pairs) / PUBLISHED_BATCH)
        settings = replace(self.config.training(task.name), epochs=1, gradient_accumulation=batches)
        return train(model, tokenizer, pairs, settings, folder, recipe="published", callbacks=[clock])

    def training_tokens(self, tokenizer, task, conversations):
        """(tokens without padding, tokens in the loss)"""
        pairs = examples(task, conversations, tokenizer, self.config)
        lengths = [len(ids) + 1 for ids in tokenizer([p + c for p, c in pairs], split_special_tokens=True).input_ids]
        return sum(lengths), sum(lengths) - len(lengths)

    def label(self, model, tokenizer, task, conversations):
        settings = InferenceSettings(recipe="published", batch_size=PUBLISHED_BATCH)
        return predict(task, model, tokenizer, conversations, settings)[0]

    def inference_tokens(self, tokenizer, task, conversations):
        prompts = [prompt for prompt, _ in examples(task, conversations, tokenizer, self.config)]
        lengths = map(len, tokenizer(prompts, split_special_tokens=True).input_ids)
        return sum(lengths) + len(prompts) * task.new_tokens


class Alone(NamedTuple):
    """How stock tools are asked about a task, each question as a sequence of its own.

    tree        conversation -> the tree whose paths are the prompts
    answers     conversation -> the gold answers, a text a prompt
    read        (conversation, what was written behind each prompt) -> the labelled conversation
    new_tokens  tokenizer -> how many tokens an answer may take
    """

    tree: Callable
    answers: Callable
    read: Callable
    new_tokens: Callable


def _emotions_read(conversation: dict, written: Iterator[str]) -> dict:
    labels = [emotion.parse_published(next(written)) or ECF.neutral for _ in conversation["conversation"]]
    return with_emotions(conversation, labels)


def _lists(conversation: dict):
    """The causes' tree with one question an emotional utterance, for its whole list of ids."""
    return list_tree(conversation, open_lists={position: [()] for position in emotional(conversation)})


def _gold_lists(conversation: dict) -> list[str]:
    gold = causes_of(conversation)
    ids = [gold[conversation["conversation"][position]["utterance_ID"]] for position in emotional(conversation)]
    return [f"{','.join(map(str, one))}]" for one in ids]


def _lists_read(conversation: dict, written: Iterator[str]) -> dict:
    triples = []
    for position in emotional(conversation):
        u, said = conversation["conversation"][position], re.findall(r"\d+", next(written).split("]")[0])
        ids = [i for i in candidates(conversation, position) if str(i) in said]
        triples += [(u["utterance_ID"], u["emotion"], i) for i in ids]
    return with_pairs(conversation, triples)


ALONE = {
    "emotion": Alone(
        emotion.tree,
        lambda conversation: [f" {u['emotion']}" for u in conversation["conversation"]],
        _emotions_read,
        lambda tokenizer: max(len(encode(tokenizer, f" {label}")) for label in ECF),
    ),
    # eight tokens of a written list of causes: more than three ids are rare
    "cause": Alone(_lists, _gold_lists, _lists_read, lambda tokenizer: 8),
}


def asked_alone(tokenizer, task, conversations) -> list[tuple[list[int], list[int]]]:
    """Every question as a sequence of its own: (tokens of its path through the tree, tokens of the gold answer).
    Emotions: one an utterance; causes: the list of ids, one an emotional utterance."""
    encoder, form, found = TreeEncoder(tokenizer), ALONE[task.name], []
    for c in conversations:
        row = encoder(form.tree(c), train=False)
        ends = [question[0][0][0] for question in row.answers]
        prompts = [tokens for tokens, _ in paths(row, [(end, 0) for end in ends])]
        found += [(prompt, encode(tokenizer, answer)) for prompt, answer in zip(prompts, form.answers(c), strict=True)]
    return found


class DoneWell:
    """The same questions, as well as stock tools can."""

    name = "stock tools, done well"
    computes = (
        "a prompt a question in the compact form, token for token a path of the one pass' tree (causes: a list of ids "
        f"for each emotional utterance). Training: stock SFTTrainer, packed up to {PACKED} tokens (longest first, no "
        "padding), loss on the answers. Inference: `generate_batch` (continuous batching, shared prefixes), as many "
        "new tokens as an answer has, without logit adjustment"
    )
    attention = "sdpa"

    def __init__(self, config):
        self.config = config

    def train(self, model, tokenizer, task, conversations, folder, clock):
        sequences = asked_alone(tokenizer, task, conversations)
        settings = self.config.training(task.name)
        arguments = SFTConfig(
            output_dir=str(folder),
            learning_rate=settings.learning_rate,
            optim=settings.optimizer,
            max_grad_norm=0.3,
            num_train_epochs=1,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=len(sequences),
            packing=True,
            max_length=max(PACKED, *(len(p) + len(a) for p, a in sequences)),
            completion_only_loss=True,
            bf16=settings.precision == "bfloat16",
            fp16=settings.precision == "float16",
            seed=settings.seed,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=model.device.type == "cpu",
            gradient_checkpointing=settings.gradient_checkpointing,
            dataloader_pin_memory=model.device.type == "cuda",
        )
        data = [{"input_ids": p + a, "completion_mask": [0] * len(p) + [1] * len(a)} for p, a in sequences]
        trainer = SFTTrainer(
            model, arguments, train_dataset=Dataset.from_list(data), processing_class=tokenizer, callbacks=[clock]
        )
        make_trainable_float32(model)
        trainer.train()
        return trainer.state.log_history

    def training_tokens(self, tokenizer, task, conversations):
        sequences = asked_alone(tokenizer, task, conversations)
        return sum(len(p) + len(a) for p, a in sequences), sum(len(a) for _, a in sequences)

    def label(self, model, tokenizer, task, conversations):
        prompts = [prompt for prompt, _ in asked_alone(tokenizer, task, conversations)]
        form = ALONE[task.name]
        written = iter(self._written(model, tokenizer, prompts, form.new_tokens(tokenizer)))
        return [form.read(c, written) for c in conversations]

    def _written(self, model, tokenizer, prompts, new_tokens):
        # Memory for all requests at once, up to 32,768 tokens. A request is spared what others have read before it, so
        # few tokens at a time are best: 64 took 2.0 s of a core, 512 took 4.1 and `generate` 5.1 (LOG.md).
        page = 8
        pages = sum(math.ceil((len(prompt) + new_tokens) / page) + 1 for prompt in prompts)
        found = model.generate_batch(
            inputs=prompts,
            generation_config=GenerationConfig(
                max_new_tokens=new_tokens,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=[tokenizer.eos_token_id, encode(tokenizer, "]")[-1]],
            ),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=page, num_blocks=min(pages, 4096), max_batch_tokens=64
            ),
            warmup=False,
        )
        return [tokenizer.decode(one.generated_tokens) for one in found.values()]

    def inference_tokens(self, tokenizer, task, conversations):
        sequences = asked_alone(tokenizer, task, conversations)
        return sum(len(prompt) for prompt, _ in sequences) + len(sequences) * ALONE[task.name].new_tokens(tokenizer)


class OnePass:
    """This repository's form."""

    name = "one pass"
    computes = (
        "a conversation and all its questions in one row (causes: a question a candidate), several conversations to a "
        "row. Training: loss on the answers. Inference: every allowed answer is scored; nothing is generated or parsed"
    )
    attention = None
    compiled = False

    def __init__(self, config):
        self.config = replace(config, compile=False)

    def train(self, model, tokenizer, task, conversations, folder, clock):
        rows = examples(task, conversations, tokenizer, self.config)
        settings = replace(self.config.training(task.name), epochs=1, batch_size=1, gradient_accumulation=len(rows))
        return train(model, tokenizer, rows, settings, folder, callbacks=[clock])

    def training_tokens(self, tokenizer, task, conversations):
        rows = examples(task, conversations, tokenizer, self.config)
        return sum(map(len, rows)), sum(len(row.targets) for row in rows)

    def label(self, model, tokenizer, task, conversations):
        return predict(task, model, tokenizer, conversations, self.config.inference())[0]

    def inference_rows(self, tokenizer, task, conversations):
        """A row a conversation."""
        trees = [task.tree(c) for c in conversations]
        return encode_trees(trees, names_of(conversations), tokenizer, self.config.max_row_tokens, train=False)

    def inference_tokens(self, tokenizer, task, conversations):
        return sum(map(len, self.inference_rows(tokenizer, task, conversations)))


class Compiled(OnePass):
    """The same, its layers compiled; the bench compiles the model, and says how long that took."""

    name = "one pass, compiled"
    computes = "the same, with the layers compiled (`compile: true`); the seconds of compiling are not in its time"
    compiled = True


class LlamaCpp(OnePass):
    """llama.cpp through llama-cpp-python, the engine a CPU user would pick; inference alone.

    engine_of  the task's name -> llama_cpp.Llama, see `engine`
    """

    name = "llama.cpp"
    computes = (
        "the one pass' questions one after the other, each a path of its tree, on a GGUF (--gguf; else the embedded "
        "model's, 4-bit); what the path begins with stays in the prompt cache, and one token is generated among the "
        "allowed answers' first ones"
    )

    def __init__(self, config, engine_of):
        super().__init__(config)
        self.engine_of = engine_of

    @staticmethod
    def available() -> bool:
        """Whether the package llama-cpp-python is installed."""
        return importlib.util.find_spec("llama_cpp") is not None

    @staticmethod
    def engine(gguf, context: int):
        """The model in the file `gguf`, for at most `context` tokens."""
        threads, package = torch.get_num_threads(), importlib.import_module("llama_cpp")
        return package.Llama(str(gguf), n_ctx=context, n_threads=threads, n_threads_batch=threads, verbose=False)

    def label(self, model, tokenizer, task, conversations):
        rows, bias = self.inference_rows(tokenizer, task, conversations), self._bias(task)

        def answered(row):
            """For each question a log-probability of 0 for the answer that was generated, next to none for others."""
            for question in row.answers:
                end, tokens = question[0][0][0], [answer[0][1] for answer in question]
                path, _ = paths(row, [(end, 0)])[0]
                chosen = tokens.index(self._token(self.engine_of(task.name), path, tokens, bias))
                yield [0.0 if number == chosen else -99.0 for number in range(len(tokens))]

        return search_all(task, conversations, lambda *_: [list(answered(row)) for row in rows])[0]

    @staticmethod
    def _bias(task) -> list[float]:
        """What is added to the log-probabilities of a question's answers, so that the likeliest is the task's answer:
        the prior is taken off; yes is chosen where its probability reaches the threshold."""
        if isinstance(task, Cause):
            return [math.log(task.threshold), math.log(1 - task.threshold)]
        return [-off for off in task.prior or [0.0] * len(task.labels)]

    @staticmethod
    def _token(engine, path, allowed, bias):
        """The likeliest of the `allowed` tokens behind `path`, their log-probabilities shifted by `bias`. The engine
        keeps what it has read of the path already."""

        def only_allowed(seen, scores):
            kept = np.full_like(scores, -np.inf)
            kept[allowed] = scores[allowed] + np.array(bias, dtype=scores.dtype)
            return kept

        if len(set(allowed)) < len(allowed):
            raise ValueError("two answers begin with the same token: one token does not tell them apart")
        return next(iter(engine.generate(path, temp=0.0, logits_processor=[only_allowed])))
