"""The rows of the speed table: ways to train a model on conversations, and to have it label them.

A row has a name, says what it computes (`computes`), which attention it uses (None: the repository's own), and can

    train(model, tokenizer, task, conversations, folder, clock)   one optimizer step on these conversations; the history
    label(model, tokenizer, task, conversations)                  the conversations with emotions, or with pairs
    training_tokens, inference_tokens(tokenizer, task, conversations)

Tasks are "emotion" and "cause"; conversations carry gold labels, and causes are asked about gold emotions. They are the
model's alone, without the trees of utils/structure.py, which take milliseconds a conversation in every row.
"""

import importlib.util
import math
import re
from dataclasses import replace

import numpy as np
import torch
from datasets import Dataset
from transformers import ContinuousBatchingConfig, GenerationConfig
from trl import SFTConfig, SFTTrainer

from utils.data.conversations import causes_of, names_of, with_emotions, with_pairs
from utils.engine.prefix_tree import TreeEncoder, encode, paths
from utils.engine.rows import encode_trees
from utils.engine.trainer import train
from utils.models.adapters import make_trainable_float32
from utils.record.fit import examples
from utils.tasks import cause, cause_list, emotion
from utils.tasks.ask import PUBLISHED_NEW_TOKENS, predict_causes, predict_emotions

PUBLISHED_BATCH = 8  # prompts a forward pass, the ancestor's; for training and `generate`
PACKED = 512  # tokens that stock packing fills a sequence up to; a longer prompt makes all longer


class Published:
    """The published recipe, utils' `recipe: published`."""

    name = "published recipe"
    computes = (
        "a prompt a question, each with the whole conversation in the ancestor's verbose form. Training: SFTTrainer, "
        f"padded batches of {PUBLISHED_BATCH}, loss on every token. Inference: `generate`, up to "
        f"{PUBLISHED_NEW_TOKENS['emotion']} (emotions) and {PUBLISHED_NEW_TOKENS['cause']} (causes) new tokens, in "
        "which the label is looked for; an adapter that was not trained in this form writes all of them"
    )
    attention = "sdpa"

    def __init__(self, config):
        self.config = replace(config, recipe="published", batch_size=PUBLISHED_BATCH, compile=False)

    def train(self, model, tokenizer, task, conversations, folder, clock):
        pairs = examples(task, conversations, tokenizer, self.config)
        batches = math.ceil(len(pairs) / PUBLISHED_BATCH)
        settings = replace(self.config.training(task), epochs=1, gradient_accumulation=batches)
        return train(model, tokenizer, pairs, settings, folder, recipe="published", callbacks=[clock])

    def training_tokens(self, tokenizer, task, conversations):
        """(tokens without padding, tokens in the loss)"""
        pairs = examples(task, conversations, tokenizer, self.config)
        lengths = [len(ids) + 1 for ids in tokenizer([p + c for p, c in pairs], split_special_tokens=True).input_ids]
        return sum(lengths), sum(lengths) - len(lengths)

    def label(self, model, tokenizer, task, conversations):
        if task == "emotion":
            return predict_emotions(model, tokenizer, conversations, "published", batch_size=PUBLISHED_BATCH)[0]
        return predict_causes(model, tokenizer, conversations, recipe="published", batch_size=PUBLISHED_BATCH)[0]

    def inference_tokens(self, tokenizer, task, conversations):
        prompts = [prompt for prompt, _ in examples(task, conversations, tokenizer, self.config)]
        lengths = map(len, tokenizer(prompts, split_special_tokens=True).input_ids)
        return sum(lengths) + len(prompts) * PUBLISHED_NEW_TOKENS[task]


def asked_alone(tokenizer, task, conversations) -> list[tuple[list[int], list[int]]]:
    """Every question as a sequence of its own: (tokens of its path through the tree, tokens of the gold answer).
    Emotions: one an utterance; causes: the list of ids, one an emotional utterance."""
    encoder, found = TreeEncoder(tokenizer), []
    for c in conversations:
        if task == "emotion":
            tree, answers = emotion.tree(c), [f" {u['emotion']}" for u in c["conversation"]]
        else:
            gold, positions = causes_of(c), cause.emotional(c)
            tree = cause_list.list_tree(c, open_lists={position: [()] for position in positions})
            ids = [gold[c["conversation"][position]["utterance_ID"]] for position in positions]
            answers = [f"{','.join(map(str, one))}]" for one in ids]
        row = encoder(tree, train=False)
        ends = [question[0][0][0] for question in row.answers]
        prompts = [tokens for tokens, _ in paths(row, [(end, 0) for end in ends])]
        found += [(prompt, encode(tokenizer, answer)) for prompt, answer in zip(prompts, answers, strict=True)]
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
    list_tokens = 8  # of a written list of causes: more than three ids are rare

    def __init__(self, config):
        self.config = config

    def train(self, model, tokenizer, task, conversations, folder, clock):
        sequences = asked_alone(tokenizer, task, conversations)
        settings = self.config.training(task)
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
        written = iter(self._written(model, tokenizer, prompts, self._new_tokens(tokenizer, task)))
        labelled = []
        for c in conversations:
            if task == "emotion":
                labels = [emotion.parse_published(next(written)) or "neutral" for _ in c["conversation"]]
                labelled.append(with_emotions(c, labels))
                continue
            triples = []
            for position in cause.emotional(c):
                u, said = c["conversation"][position], re.findall(r"\d+", next(written).split("]")[0])
                ids = [i for i in cause.candidates(c, position) if str(i) in said]
                triples += [(u["utterance_ID"], u["emotion"], i) for i in ids]
            labelled.append(with_pairs(c, triples))
        return labelled

    def _new_tokens(self, tokenizer, task):
        return self.list_tokens if task == "cause" else max(len(encode(tokenizer, a)) for a in emotion.ANSWERS)

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
        return sum(len(prompt) for prompt, _ in sequences) + len(sequences) * self._new_tokens(tokenizer, task)


class OnePass:
    """This repository's form."""

    name = "one pass"
    computes = (
        "a conversation and all its questions in one row (causes: a question a candidate), several conversations to a "
        "row. Training: loss on the answers. Inference: every allowed answer is scored; nothing is generated or parsed"
    )
    attention = None
    compiled = False

    def __init__(self, config, prior=(0,) * 7):
        self.config, self.prior = replace(config, compile=False), prior

    def train(self, model, tokenizer, task, conversations, folder, clock):
        rows = examples(task, conversations, tokenizer, self.config)
        settings = replace(self.config.training(task), epochs=1, batch_size=1, gradient_accumulation=len(rows))
        return train(model, tokenizer, rows, settings, folder, callbacks=[clock])

    def training_tokens(self, tokenizer, task, conversations):
        rows = examples(task, conversations, tokenizer, self.config)
        return sum(map(len, rows)), sum(len(row.targets) for row in rows)

    def label(self, model, tokenizer, task, conversations):
        how = self.config.inference()
        if task == "emotion":
            return predict_emotions(model, tokenizer, conversations, prior=self.prior, **how)[0]
        form, threshold = self.config.cause_form, self.config.cause_threshold
        return predict_causes(model, tokenizer, conversations, form, threshold, **how)[0]

    def inference_rows(self, tokenizer, task, conversations):
        """A row a conversation."""
        trees = [emotion.tree(c) if task == "emotion" else cause.candidates_tree(c) for c in conversations]
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

    engine_of  task -> llama_cpp.Llama, see `engine`
    """

    name = "llama.cpp"
    computes = (
        "the one pass' questions one after the other, each a path of its tree, on a GGUF (--gguf; else the embedded "
        "model's, 4-bit); what the path begins with stays in the prompt cache, and one token is generated among the "
        "allowed answers' first ones"
    )

    def __init__(self, config, prior, engine_of):
        super().__init__(config, prior)
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
        labelled, bias = [], [-off for off in self.prior]
        if task == "cause":  # yes is chosen where its probability reaches the threshold
            threshold = self.config.cause_threshold
            bias = [math.log(threshold), math.log(1 - threshold)]
        for c, row in zip(conversations, self.inference_rows(tokenizer, task, conversations)):
            scores = []
            for question in row.answers:
                end, tokens = question[0][0][0], [answer[0][1] for answer in question]
                path, _ = paths(row, [(end, 0)])[0]
                chosen = tokens.index(self._token(self.engine_of(task), path, tokens, bias))
                scores.append([0.0 if number == chosen else -99.0 for number in range(len(tokens))])
            read = emotion.read(c, scores) if task == "emotion" else cause.read_candidates(c, scores, 0.5)
            labelled.append(read[0])
        return labelled

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
