"""Fine-tuning through trl's SFTTrainer: rows of prefix trees, or the published recipe's prompts.

history = train(model, tokenizer, rows, settings, folder)
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import Trainer, TrainerCallback
from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage] (trl exports when asked)

from utils.engine.checkpoints import Resumed, last_checkpoint
from utils.engine.head_trainer import HeadCollator, HeadTrainer
from utils.engine.memory import InParts
from utils.engine.prefix_tree import Row, model_inputs, pack, rooted
from utils.engine.settings import TrainingSettings
from utils.engine.tracking import tracking
from utils.engine.vectors import as_column, from_column, vectors_between
from utils.engine.weights import TARGETS, separated, weighted_inputs, weighted_loss
from utils.models.adapters import make_trainable_float32
from utils.models.head import outputs_of
from utils.models.load import compile_layers
from utils.models.virtual import virtual_tokens
from utils.system.errors import TrainingError
from utils.system.progress import Pace

LOST = ("gloo", "NCCL", "Connection reset by peer", "Connection closed by peer")  # of a process that is gone


class TreeCollator:
    """Rows (as the trainer's dataset holds them) to what the model takes, packed into one row; `weighted`: with the
    targets' weights (utils/engine/weights.py); `virtual`: behind so many virtual tokens."""

    def __init__(self, weighted: bool = False, virtual: int = 0):
        self.weighted, self.virtual = weighted, virtual

    def __call__(self, examples: list[dict]) -> dict:
        row = rooted(pack([_row(example) for example in examples]), self.virtual)
        return weighted_inputs(row) if self.weighted else model_inputs(row, row.targets)


def _row(example: dict) -> Row:
    """A row as the trainer's dataset holds it."""
    targets, vectors = [tuple(target) for target in example["targets"]], from_column(example.get("vectors", []))
    return Row(**{**example, "targets": targets, "vectors": vectors})


def split_batch(inputs: dict, virtual: int = 0) -> list[dict]:
    """A batch's independent parts: the trees of a packed row, each behind the row's `virtual` tokens, or the sequences
    of the published recipe's batch."""
    mask = inputs["attention_mask"]
    if mask.dim() == 2:
        return [{name: value[i : i + 1] for name, value in inputs.items()} for i in range(len(mask))]
    starts = (inputs["position_ids"][0] == virtual).nonzero().flatten().tolist()  # where a tree begins
    parts, kept = [], inputs["logits_to_keep"]
    for start, end in zip(starts, [*starts[1:], mask.shape[-1]]):
        mine = (start <= kept) & (kept < end)
        there = [*range(virtual), *range(start, end)] if virtual else slice(start, end)
        part = {name: inputs[name][:, there] for name in ("input_ids", "position_ids")}
        if "vectors" in inputs:
            part["vectors"] = vectors_between(inputs["vectors"], start, end, virtual)
        if "weights" in inputs:
            first, targets = (kept < start).sum(), mine[inputs["slots"][0]]
            part |= {name: inputs[name][:, targets] for name in TARGETS}
            part["slots"] = part["slots"] - first
        else:
            part |= {name: inputs[name][:, mine] for name in ("labels", "shift_labels")}
        place = {"attention_mask": mask[:, :, there][..., there], "logits_to_keep": kept[mine] - start + virtual}
        parts.append({**part, **place})
    return parts


def _count(inputs: dict):
    """What the losses of a batch's targets are divided by: their number, or the sum of their weights."""
    return inputs["weights"].sum() if "weights" in inputs else (inputs["labels"] != -100).sum()


class Told(TrainerCallback):
    """Says the loss, the step and the time that is left to who follows the training (utils/system/progress.py)."""

    def __init__(self, what: str):
        self.what, self._pace = what, None

    def on_step_begin(self, args, state, control, **kwargs):
        # Not on_train_begin: an evaluation of `val` comes before the first step, and may last as long as many.
        self._pace = self._pace or Pace(self.what, state.max_steps, "steps", state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self._pace and logs and "loss" in logs and state.is_world_process_zero:
            self._pace(state.global_step, loss=float(logs["loss"]))


class AtEpochs(TrainerCallback):
    """Asks for an evaluation behind the last step of each epoch and of the training, before that step's checkpoint is
    written: a training that goes on from there has it in its log."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.epoch == round(state.epoch) or state.global_step >= state.max_steps:
            control.should_evaluate = True


class PatientTrainer(Resumed, SFTTrainer):
    """SFTTrainer that does a batch in parts where memory does not suffice: the same loss and gradients, to rounding,
    because every part's loss is divided by the number of targets in the whole step (or the sum of their weights)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._in_parts = InParts()

    def _parts(self, inputs):
        """The batch's parts; of several processes all must do as many steps, so there it stays whole."""
        return split_batch(inputs, virtual_tokens(self.model)) if self.args.world_size == 1 else [inputs]

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

    def prediction_step(self, model, inputs, *how, **more):
        parts, step = self._parts(inputs), super().prediction_step
        results = self._results(lambda part: step(model, part, *how, **more), inputs, parts)
        if len(results) == 1:
            return results[0]
        counts = [_count(part).item() for part in parts]
        return sum(loss * count for (loss, _, _), count in zip(results, counts)) / sum(counts), None, None


class TreeTrainer(PatientTrainer):
    """PatientTrainer on tree rows: the model computes its own loss on the needed positions only.

    SFTTrainer's fused head would send every position of a row through the language-model head on a CPU. Weighted
    targets have a loss of their own (utils/engine/weights.py). `focal_gamma` is for training; an evaluation has the
    cross-entropy, so that runs can be compared.
    """

    def __init__(self, *args, focal_gamma: float = 0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.focal_gamma = focal_gamma

    def _get_num_items_in_batch(self, batch_samples, device):
        """The sum of the targets' weights in a step, of all processes, in place of their number."""
        if not batch_samples or "weights" not in batch_samples[0]:
            return super()._get_num_items_in_batch(batch_samples, device)
        everywhere: Any = self.accelerator.gather(torch.stack([*map(_count, batch_samples)]).sum().to(device))
        return everywhere.sum()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if "weights" not in inputs:
            inputs["use_cache"] = False
            return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)
        given, target = separated(inputs)
        outputs = model(**given, use_cache=False)
        loss = weighted_loss(outputs.logits, target, self.focal_gamma if model.training else 0.0)
        if num_items_in_batch is None:  # in an evaluation
            loss = loss / target["weights"].sum()
        else:
            loss = loss / num_items_in_batch * self.accelerator.num_processes  # whose gradients are averaged
        return (loss, outputs) if return_outputs else loss


def train(
    model, tokenizer, examples, settings: TrainingSettings, folder, validation=None, recipe="one_pass", callbacks=()
):
    """Fine-tune the adapter of `model` in place; returns the trainer's log history (a list of dictionaries).

    examples    one_pass: packed rows; published: (prompt, completion) pairs, one sequence each, loss on every token
    validation  the same, for an evaluation before the first step and behind each epoch; or None
    folder      checkpoints go to `folder`/checkpoints, after each tenth of the run; a run that was interrupted
                goes on from the last one
    callbacks   the trainer's, such as a benchmark's clock

    Raises TrainingError where another process of the same training ends; what the parts of a batch raise (DoesNotFit).
    """
    checkpoints = Path(folder) / "checkpoints"
    one_pass = recipe == "one_pass"
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
        dataset_kwargs={"skip_prepare_dataset": True} if one_pass else None,
        remove_unused_columns=not one_pass,
        completion_only_loss=None if one_pass else False,
        bf16=settings.precision == "bfloat16",  # the float32 adapter computes in the base model's precision,
        fp16=settings.precision == "float16",  # in float16 with a gradient scaler
        logging_steps=1,
        logging_first_step=True,
        prediction_loss_only=True,
        eval_on_start=bool(validation) and last_checkpoint(checkpoints) is None,
        save_strategy="steps",
        save_steps=0.1,
        save_total_limit=1,
        **tracking(settings.report_to, settings.run_name, folder),
        disable_tqdm=False,
        use_cpu=model.device.type == "cpu",
        dataloader_pin_memory=model.device.type == "cuda",
    )
    rows = [*examples, *(validation or ())] if one_pass else []
    weighted = settings.focal_gamma > 0 or any(weight != 1 for row in rows for weight in row.weights)
    if outputs_of(model):
        kind, collator = HeadTrainer, HeadCollator()
    elif one_pass:
        kind = partial(TreeTrainer, focal_gamma=settings.focal_gamma)
        collator = TreeCollator(weighted, virtual_tokens(model))
    else:
        kind, collator = PatientTrainer, None
    trainer: Any = kind(
        model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=_dataset(examples, tokenizer, one_pass),
        eval_dataset=_dataset(validation, tokenizer, one_pass) if validation else None,
        data_collator=collator,
        callbacks=[*callbacks, *([AtEpochs()] if validation else []), Told(f"{Path(folder).name} training")],
    )
    make_trainable_float32(model)
    if settings.compile:
        compile_layers(model)
    try:
        trainer.train(resume_from_checkpoint=last_checkpoint(checkpoints))
    except RuntimeError as error:
        if trainer.args.world_size > 1 and any(one in str(error) for one in LOST):
            raise TrainingError(
                "another process of this training has ended, and its own message says why. Start all of them again by "
                "the same command: it goes on from the last checkpoint"
            ) from error
        raise
    return trainer.state.log_history


def _dataset(examples, tokenizer, one_pass):
    if not one_pass:  # tokenized here, so that no utterance can write a special token
        texts = [prompt + completion for prompt, completion in examples]
        encoded = tokenizer(texts, split_special_tokens=True).input_ids
        return Dataset.from_list([{"input_ids": tokens + [tokenizer.eos_token_id]} for tokens in encoded])
    columns = ("input_ids", "positions", "last", "targets", "weights")
    found = [{name: getattr(row, name) for name in columns} for row in examples]
    if any(row.vectors for row in examples):
        found = [one | {"vectors": as_column(row.vectors)} for one, row in zip(found, examples)]
    return Dataset.from_list(found)
