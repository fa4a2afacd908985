"""Fine-tuning: rows of prefix trees (or the published recipe's prompts) through trl's SFTTrainer.

    rows = examples("emotion", conversations, tokenizer, config)
    history = train(model, tokenizer, rows, config.training("emotion"), folder)
    model, history = fit(run, "emotion", model, tokenizer, conversations)     # both, resumed where interrupted
"""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from datasets import Dataset
from safetensors import SafetensorError
from transformers import Trainer, set_seed
from trl import SFTConfig, SFTTrainer

from utils import cause, emotion, structure
from utils.card import write_cards
from utils.config import TrainingSettings
from utils.conversations import read_json
from utils.memory import DoesNotFit, InParts
from utils.modeling import (
    add_lora,
    check_tree_mask,
    compile_layers,
    gather_adapter,
    load_adapter,
    make_trainable_float32,
    positions_of,
    save_adapter,
)
from utils.prefix_tree import Row, model_inputs, pack
from utils.processes import processes
from utils.rows import TrainingError, check_positions, encode_trees, names_of, pack_rows, text_rows
from utils.tracking import tracking


class TreeCollator:
    """Rows (as the trainer's dataset holds them) to what the model takes, packed into one row."""

    def __call__(self, examples: list[dict]) -> dict:
        row = pack([
            Row(e["input_ids"], e["positions"], e["last"], [tuple(target) for target in e["targets"]])
            for e in examples
        ])
        return model_inputs(row, row.targets)


def split_batch(inputs: dict) -> list[dict]:
    """A batch's independent parts: the trees of a packed row, or the sequences of the published recipe's batch."""
    mask = inputs["attention_mask"]
    if mask.dim() == 2:
        return [{name: value[i : i + 1] for name, value in inputs.items()} for i in range(len(mask))]
    starts = (inputs["position_ids"][0] == 0).nonzero().flatten().tolist()  # a tree begins at position 0
    parts, kept = [], inputs["logits_to_keep"]
    for start, end in zip(starts, [*starts[1:], mask.shape[-1]]):
        mine = (start <= kept) & (kept < end)
        part = {name: inputs[name][:, start:end] for name in ("input_ids", "position_ids")}
        part |= {name: inputs[name][:, mine] for name in ("labels", "shift_labels")}
        parts.append({
            **part, "attention_mask": mask[:, :, start:end, start:end], "logits_to_keep": kept[mine] - start
        })
    return parts


class PatientTrainer(SFTTrainer):
    """SFTTrainer that does a batch in parts where memory does not suffice: the same loss and gradients, to rounding,
    because every part's loss is divided by the number of targets in the whole step."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._in_parts = InParts()

    def _parts(self, inputs):
        """The batch's parts; of several processes all must do as many steps, so there it stays whole."""
        return split_batch(inputs) if self.args.world_size == 1 else [inputs]

    def _results(self, step, inputs, parts, undo=lambda: None):
        """[step(inputs)], or the step of each part."""
        tokens = [part["input_ids"].numel() for part in parts]
        names = [f"a row of {count} tokens" for count in tokens]
        return self._in_parts(
            step, parts, lambda some: inputs if len(some) == len(parts) else some[0], tokens, names, undo
        )

    def training_step(self, model, inputs, num_items_in_batch=None):
        parts, step, gradients = self._parts(inputs), super().training_step, []
        if len(parts) > 1:  # memory may run out in the middle of a backward pass
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
            gradients = [(p, None if p.grad is None else p.grad.clone()) for p in trained]

        def undo():
            for parameter, gradient in gradients:
                parameter.grad = gradient

        return sum(self._results(lambda part: step(model, part, num_items_in_batch), inputs, parts, undo))

    def _run_epoch(self, *args, **kwargs):
        """Resumed at the last of all steps, which may lie within an epoch, the trainer would do one more."""
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)

    def _save_checkpoint(self, model, trial):
        with _said_where(self.args.output_dir):
            super()._save_checkpoint(model, trial)

    def prediction_step(self, model, inputs, *how, **more):
        parts, step = self._parts(inputs), super().prediction_step
        results = self._results(lambda part: step(model, part, *how, **more), inputs, parts)
        if len(results) == 1:
            return results[0]
        counts = [(part["labels"] != -100).sum().item() for part in parts]
        return sum(loss * count for (loss, _, _), count in zip(results, counts)) / sum(counts), None, None


class TreeTrainer(PatientTrainer):
    """PatientTrainer on tree rows: the model computes its own loss on the needed positions only.

    SFTTrainer's fused head would send every position of a row through the language-model head on a CPU.
    """

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs["use_cache"] = False
        return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)


def train(model, tokenizer, examples, settings: TrainingSettings, folder, validation=None, recipe="one_pass",
          callbacks=()):
    """Fine-tune the adapter of `model` in place; returns the trainer's log history (a list of dictionaries).

    examples    one_pass: packed rows; published: (prompt, completion) pairs, one sequence each, loss on every token
    validation  the same, for one evaluation at the end; or None
    folder      checkpoints go to `folder`/checkpoints, after each tenth of the run; a run that was interrupted
                goes on from the last one
    callbacks   the trainer's, such as a benchmark's clock
    """
    checkpoints = Path(folder) / "checkpoints"
    trees = recipe == "one_pass"
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=1,
        gradient_accumulation_steps=settings.gradient_accumulation,
        lr_scheduler_type=settings.scheduler,
        warmup_steps=settings.warmup_ratio,  # below 1 it is a share of all steps
        optim=settings.optimizer,
        max_grad_norm=0.3,  # QLoRA's
        gradient_checkpointing=settings.gradient_checkpointing,
        seed=settings.seed,
        max_length=None,  # the default cuts at 1024, and the end is where the answers are
        dataset_kwargs={"skip_prepare_dataset": True} if trees else None,
        remove_unused_columns=not trees,
        completion_only_loss=None if trees else False,
        bf16=settings.precision == "bfloat16",  # the float32 adapter computes in the base model's precision,
        fp16=settings.precision == "float16",  # in float16 with a gradient scaler
        logging_steps=1,
        logging_first_step=True,
        prediction_loss_only=True,
        save_strategy="steps",
        save_steps=0.1,
        save_total_limit=1,
        **tracking(settings.report_to, settings.run_name, folder),
        disable_tqdm=False,
        use_cpu=model.device.type == "cpu",
        dataloader_pin_memory=model.device.type == "cuda",
    )
    trainer = (TreeTrainer if trees else PatientTrainer)(
        model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=_dataset(examples, tokenizer, trees),
        eval_dataset=_dataset(validation, tokenizer, trees) if validation else None,
        data_collator=TreeCollator() if trees else None,
        callbacks=list(callbacks),
    )
    make_trainable_float32(model)
    if settings.compile:
        compile_layers(model)
    trainer.train(resume_from_checkpoint=last_checkpoint(checkpoints))
    if validation:
        trainer.evaluate()
    return trainer.state.log_history


@contextmanager
def _said_where(folder):
    """The libraries' errors for weights that cannot be written say neither where nor what to do."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        raise TrainingError(
            f"{folder} cannot be written ({str(error).splitlines()[0]}). Make room there; the same command goes on"
        ) from error


def last_checkpoint(folder: Path) -> str | None:
    """The last checkpoint that was written whole: trainer_state.json is its last file, and ends with a brace."""
    whole = [
        path.parent for path in folder.glob("checkpoint-*/trainer_state.json")
        if path.read_text(encoding="utf-8").endswith("}\n")
    ]
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def _dataset(examples, tokenizer, trees):
    if not trees:  # tokenized here, so that no utterance can write a special token
        texts = [prompt + completion for prompt, completion in examples]
        encoded = tokenizer(texts, split_special_tokens=True).input_ids
        return Dataset.from_list([{"input_ids": tokens + [tokenizer.eos_token_id]} for tokens in encoded])
    columns = ("input_ids", "positions", "last", "targets")
    return Dataset.from_list([{name: getattr(row, name) for name in columns} for row in examples])


# ---- one run's adapter -----------------------------------------------------------------------------------------


def examples(task: str, conversations: list[dict], tokenizer, config) -> list:
    """What `train` takes: packed rows, or in the published recipe (prompt, completion) pairs.

    task  "emotion" or "cause"; the conversations must carry gold labels
    """
    if config.recipe == "published":
        prompts = {"emotion": emotion, "cause": cause}[task].published_prompts
        return [pair for c in conversations for pair in prompts(c)]
    rows = _training_rows(task, conversations, tokenizer, config)
    return pack_rows([row for row in rows if row.targets], config.token_budget, config.seed)


def tree_lengths(task: str, conversations: list[dict], tokenizer, config) -> list[int]:
    """Tokens of each conversation with its questions; in the published recipe, of each prompt with its completion."""
    if config.recipe == "published":
        return [len(tokenizer(p + c).input_ids) for p, c in examples(task, conversations, tokenizer, config)]
    return [len(row) for row in _training_rows(task, conversations, tokenizer, config)]


def _training_rows(task, conversations, tokenizer, config):
    if task == "emotion":
        trees = [emotion.tree(c, train=True) for c in conversations]
    else:
        trees = [cause.tree(c, config.cause_form, train=True) for c in conversations]
    return encode_trees(trees, names_of(conversations), tokenizer, config.max_row_tokens, train=True)


def fit(run, task: str, model, tokenizer, conversations: list[dict], validation: list[dict] = (),
        unlabelled: list[dict] = ()):
    """The run's adapter of `task`, trained on `conversations` unless it is finished already; (model, history).

    Beside the cause adapter stands what boosted trees learn of its candidates (utils/structure.py).
    With `text_epochs` it first learns the words of `conversations` and `unlabelled` as a language model does, without
    any label: task-adaptive pretraining (Gururangan et al., ACL 2020). The history is that of the labels.
    An interrupted training goes on from its last checkpoint. Raises TrainingError where there is nothing to learn from
    or no room to write, DoesNotFit where memory does not suffice for a conversation, ModelError for a model that cannot
    be trained on trees (check_tree_mask).
    """
    config, folder, finished = run.config, run.adapter(task), run.history(task)
    if finished is not None:
        run.drop_checkpoints(task)  # an interruption may have left them
        print(f"{folder} holds the finished adapter of this run; remove the folder to train it again.")
        return load_adapter(model, folder, config.model), finished
    rows = examples(task, conversations, tokenizer, config)
    if not rows:
        raise TrainingError(f"the training split holds no {task} to learn from; give more conversations")
    if config.recipe == "one_pass" or config.text_epochs:
        check_tree_mask(model, config.max_row_tokens)
    limit = positions_of(model) or config.max_row_tokens
    if config.recipe == "one_pass" and limit < config.max_row_tokens:
        for given in (conversations, validation):
            check_positions(_training_rows(task, given, tokenizer, config), names_of(given), limit)
    learnt = None
    if task == "cause" and config.recipe == "one_pass" and config.cause_form == "candidates":
        learnt = structure.learn(conversations, config.seed)
    set_seed(config.seed)  # the adapter's first weights are random
    model = add_lora(
        model, config.lora_r, config.lora_alpha, config.lora_dropout, config.lora_targets, config.gradient_checkpointing
    )
    held_out = examples(task, validation, tokenizer, config) if validation else None
    of_text = []
    if config.text_epochs:
        of_text = _learn_words(model, tokenizer, [*conversations, *unlabelled], config, folder)
    everyone = [*conversations, *validation]
    trees = config.recipe == "one_pass"
    with _conversations_named(everyone, lambda: tree_lengths(task, everyone, tokenizer, config) if trees else []):
        history = train(model, tokenizer, rows, config.training(task), folder, held_out, config.recipe)
    gather_adapter(model)
    if processes().is_main_process:
        with _said_where(folder):
            save_adapter(model, folder, config.model)
            if learnt:
                structure.save(learnt, folder)
        run.finish_adapter(task, history, emotion.counts(conversations), of_text, bool(learnt))
        write_cards(run.train_dir)
    processes().wait_for_everyone()
    return model.eval(), history


def _learn_words(model, tokenizer, conversations, config, folder) -> list[dict]:
    """Trains the adapter on the words of `conversations` unless the labels have begun; the trainer's log history."""
    rows = text_rows(
        [emotion.text(c) for c in conversations], names_of(conversations), tokenizer, config.max_row_tokens
    )
    check_positions(rows, names_of(conversations), positions_of(model))
    place = folder / "checkpoints" / "text"
    if last_checkpoint(folder / "checkpoints") is None:
        packed = pack_rows([row for row in rows if row.targets], config.token_budget, config.seed)
        settings = replace(config.training("text"), report_to="none")  # a tracker follows one run, the labels'
        with _conversations_named(conversations, lambda: [len(row) for row in rows]):
            train(model, tokenizer, packed, settings, place)
    return read_json(Path(last_checkpoint(place / "checkpoints")) / "trainer_state.json")["log_history"]


@contextmanager
def _conversations_named(conversations, lengths):
    """The trainer knows rows, not conversations: the error for a row of so many tokens as one of these names it.
    lengths: called only then, and empty in the published recipe, where a row is a prompt."""
    try:
        yield
    except DoesNotFit as error:
        tokens = lengths()
        named = [name for name, length in zip(names_of(conversations), tokens) if length == error.tokens]
        several = "a row (a smaller token_budget makes smaller rows)" if tokens else "a prompt"
        raise DoesNotFit(" or ".join(named) or several, error.tokens) from error
