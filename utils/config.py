"""Every parameter of the chain, once: its name, type, default, what it can be and what it does.

The parameters cell of a notebook repeats the names that the notebook uses, with these defaults (a test holds the
two equal); papermill, a file of configs/ or a person changes them there, and `Config.of(globals())` checks them.
docs/parameters.md is made from this file (`make docs`).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from utils.data.labels import ECF
from utils.data.opinions import TASK_TYPES
from utils.data.votes import AGREED
from utils.engine.settings import InferenceSettings, TrainingSettings
from utils.models.adapting import TITLES, adapter_settings, check_adapter
from utils.system.errors import ConfigError, shown
from utils.system.parameters import as_declared, check_known, name_problem, parameter, parse, problem, read_mapping
from utils.tasks.forms import STRATEGIES, TASKS
from utils.tasks.imbalance import SAMPLING, WEIGHTS
from utils.tasks.instruction import TOO_LONG
from utils.tasks.pool import DRAWN
from utils.tasks.task import Task, TaskDefaults
from utils.tasks.together import conflict

GROUPS = RUN, TASK, LEARNING, MACHINE = "The run", "The task", "How it learns", "The machine"


@dataclass
class Config:
    """The parameters of one run. All flat: what stands here is what a notebook or a YAML file can set."""

    run_name: str = parameter(RUN, "sample", "names the folders results_train/<run_name> and results_test/<run_name>")
    model: str = parameter(RUN, "smollm2-135m-instruct", "the embedded model; or a folder, or a hub id")
    input_dir: str = parameter(RUN, "input", "where generate_input.py wrote the splits")
    seed: int = parameter(
        RUN, 42, "for the adapter's first weights and the order in training", minimum=0, below=2**32
    )  # what numpy takes
    report_to: str = parameter(
        RUN, "none", "an experiment tracker, if it is installed", choices=("none", "trackio", "tensorboard", "wandb")
    )

    recipe: str = parameter(
        TASK,
        "one_pass",
        "one_pass: all questions about a conversation in one forward pass, answers scored; "
        "published: a prompt an utterance, `generate`, the label parsed from the text",
        choices=("one_pass", "published"),
    )
    targets: str = parameter(
        TASK,
        "single",
        "what an utterance's emotion is. single: its one label; multi: several labels, a yes/no question each; votes: "
        "its annotators' votes as shares, of which the likeliest is named. For multi an utterance carries its list of "
        f"labels, or the labels with {AGREED} votes or more, or else its one label; each label has a threshold, chosen "
        "on val",
        choices=("single", "multi", "votes"),
    )
    prompts: str = parameter(
        TASK,
        "",
        "a pool of wordings of the questions: a name in configs/prompts, or a file; empty: the one wording that all "
        "published results have. Notebooks 2 and 4 then score every wording, and their average",
    )
    prompt: str = parameter(
        TASK,
        DRAWN,
        "the wording of the pool that training and inference ask with. drawn: training draws one that is not held out "
        "for each conversation, and inference asks with the first",
    )
    captions: str | list = parameter(
        TASK, "", "fields of an utterance, such as video_caption, whose texts stand behind its words, in this order"
    )
    streams: str | list = parameter(TASK, "", "streams of vectors, such as voice: files of input_dir/features")
    stream_tokens: int = parameter(TASK, 1, "how many tokens a stream has in front of a line", above=0, below=65)
    without: str | list = parameter(TASK, "", "inference: streams that are read as if they were absent")
    encoder: str = parameter(TASK, "", "inference: a run of utils.train encoder whose answers are averaged in, or none")
    logit_adjustment: float = parameter(
        TASK,
        0.5,
        "subtract this times log(label frequency in training) from each label's score: rare labels win more often "
        "(Menon et al. 2021); nothing with targets multi, whose thresholds do it",
        minimum=0,
    )
    cause_form: str = parameter(
        TASK,
        "candidates",
        "candidates: a probability for each candidate cause; list: one list of causes, the published answer",
        choices=("candidates", "list"),
    )
    cause_emotions: str = parameter(
        TASK,
        "gold",
        "the emotions that cause training reads; predicted: notebook 2's labels of the training split",
        choices=("gold", "predicted"),
    )
    cause_threshold: float = parameter(
        TASK,
        0.2,
        "name a pair from this P(emotion) x P(cause) on; the best value is about half the F1 (Lipton et al. 2014)",
        above=0,
        below=1,
        noun="a probability",
    )

    topic: str | list = parameter(TASK, "", "of opinions: the topics, as the input calls them; empty: all that it has")
    task_type: str = parameter(
        TASK,
        "regression_with_relevance",
        "of opinions: what is asked of a text. binary: whether it holds an opinion; regression: how much it is for the "
        "topic; regression_with_relevance: both; stance: in favor, against or neither",
        choices=TASK_TYPES,
    )
    strategy: str = parameter(
        TASK,
        "generation",
        "of opinions: how the model says them. generation: phrases, of which each has a probability; sequence: a head "
        "on the last hidden state, classes or a number; prompt: phrases, with the adapter prompt_tuning",
        choices=tuple(STRATEGIES),
    )

    template: str = parameter(
        TASK,
        "alpaca",
        "of instructions: what stands around one: a name in configs/templates, or a file; chat: the model's own turn",
    )
    train_on_inputs: bool = parameter(TASK, False, "of instructions: training learns the prompt as well as the answer")
    add_eos_token: bool = parameter(
        TASK, True, "of instructions: an answer ends with a token that training learns, so that the model stops"
    )
    cutoff_len: int = parameter(
        TASK, 512, "of instructions: the tokens of an example in training, its answer among them, at most", above=0
    )
    too_long: str = parameter(
        TASK, "refuse", "of instructions: what is done with longer ones. drop: they are counted", choices=TOO_LONG
    )
    new_tokens: int = parameter(TASK, 128, "of instructions: how many tokens an answer that is written has", above=0)

    text_epochs: float = parameter(
        LEARNING,
        0.0,
        "first, epochs over the text alone, without labels, of the unlabelled conversations too",
        minimum=0,
    )
    emotion_epochs: float = parameter(LEARNING, 1.0, "epochs of the emotion task", above=0)
    cause_epochs: float = parameter(LEARNING, 1.0, "epochs of the cause task", above=0)
    emotion_start: str = parameter(
        LEARNING, "", "a run whose emotion adapter is trained on, of any labels; empty: a fresh adapter"
    )
    cause_start: str = parameter(LEARNING, "", "the same of the cause adapter")
    text_learning_rate: float = parameter(LEARNING, 5e-4, "the learning rate of these epochs over the text", above=0)
    emotion_learning_rate: float = parameter(
        LEARNING, 1e-3, "the published rate; steps are few, so it is high", above=0
    )
    cause_learning_rate: float = parameter(LEARNING, 1e-3, "as the emotion task's", above=0)
    opinion_epochs: float = parameter(LEARNING, 2.0, "epochs of the opinion task", above=0)
    opinion_learning_rate: float = parameter(LEARNING, 1e-3, "as the emotion task's", above=0)
    instruction_epochs: float = parameter(LEARNING, 3.0, "epochs of the instruction task; Alpaca's", above=0)
    instruction_learning_rate: float = parameter(LEARNING, 1e-3, "as the emotion task's", above=0)
    gradient_accumulation: int = parameter(
        LEARNING, 3, "forward passes a step: with the budget, about 800 tokens", above=0
    )
    # Of the trainer's, those that need no parameter that is not here (transformers' SchedulerType, OptimizerNames).
    scheduler: str = parameter(
        LEARNING,
        "cosine",
        "how the learning rate falls",
        choices=tuple(
            "linear cosine cosine_with_restarts polynomial constant constant_with_warmup inverse_sqrt".split()
        ),
    )
    warmup_ratio: float = parameter(
        LEARNING, 0.03, "the share of the steps in which the learning rate rises from zero", minimum=0, below=1
    )
    optimizer: str = parameter(
        LEARNING,
        "adamw_torch",
        "AdamW; paged_adamw_32bit on GPUs that are nearly full",
        choices=tuple("adamw_torch adamw_torch_fused adamw_8bit paged_adamw_8bit paged_adamw_32bit adafactor".split()),
    )
    focal_gamma: float = parameter(
        LEARNING,
        0.0,
        "focal loss (Lin et al. 2017): each token of an answer counts (1 - its probability) to this power: what is "
        "surely right counts less; 0 is off, 2 the paper's; evaluations have the plain loss",
        minimum=0,
    )
    class_weights: str = parameter(
        LEARNING,
        "none",
        "how much an utterance, or a text's opinion, counts in training, by its label. inverse: one over their number; "
        "effective: one over their effective number (Cui et al. 2019), which weighs rare ones less; with targets multi "
        "yes and no are weighed for each label. The logit adjustment then takes off what is left of the frequencies",
        choices=WEIGHTS,
    )
    effective_beta: float = parameter(
        LEARNING,
        0.999,
        "of class_weights effective: 0 weighs all alike, and towards 1 it becomes inverse",
        minimum=0,
        below=1,
    )
    sampling: str = parameter(
        LEARNING,
        "natural",
        "the conversations of an epoch of the emotion task, or the texts with opinions. natural: each once; balanced: "
        "as many, drawn so that every label leads to one equally often (Kang et al. 2020); an item is asked about all "
        "that is in it",
        choices=SAMPLING,
    )
    stream_dropout: float = parameter(
        LEARNING, 0.2, "how often training reads a conversation without a stream, each by itself", minimum=0, below=1
    )
    adapter: str = parameter(
        LEARNING,
        "lora",
        "what is trained beside the model. lora: narrow matrices (Hu et al. 2021); dora: these, and a length an output "
        "(Liu et al. 2024); ia3: factors (Liu et al. 2022); prompt_tuning: virtual tokens in front (Lester et al. "
        "2021); llama_adapter: prompts in the attention (Zhang et al. 2023)",
        choices=tuple(TITLES),
    )
    virtual_tokens: int = parameter(
        LEARNING, 30, "of prompt_tuning, where they begin as a sentence, and of llama_adapter: how many", above=0
    )
    adapter_layers: int = parameter(
        LEARNING, 0, "of llama_adapter: how many layers, the upper ones; 0 is all", minimum=0
    )
    lora_r: int = parameter(LEARNING, 16, "the rank of lora and dora; the published one", above=0)
    lora_alpha: int = parameter(LEARNING, 16, "these are scaled by lora_alpha / lora_r", above=0)
    lora_dropout: float = parameter(
        LEARNING, 0.0, "0 is off: dropout costs a fifth of a CPU step; its gain was not measured", minimum=0, below=1
    )
    lora_targets: str | list = parameter(LEARNING, "all-linear", "the modules that lora and dora are put beside")

    quantization: str = parameter(
        MACHINE,
        "auto",
        "nf4: the model's weights in 4 bits (QLoRA); auto: nf4 where training in 16 bits does not fit on the card, "
        "else none; a run keeps what it began with",
        choices=("none", "nf4", "auto"),
    )
    precision: str = parameter(
        MACHINE,
        "auto",
        "auto, from the hardware: bfloat16 where it is native, float16 on a T4, else float32",
        choices=("auto", "bfloat16", "float16", "float32"),
    )
    token_budget: int = parameter(
        MACHINE, 256, "conversations share a row up to this many tokens; longer rows pay for attention", above=0
    )
    max_row_tokens: int = parameter(MACHINE, 4096, "a longer conversation is refused by name, never cut", above=0)
    batch_size: int = parameter(MACHINE, 1, "rows (published: prompts) a forward pass; rows are full already", above=0)
    gradient_checkpointing: bool = parameter(MACHINE, False, "trades a third more time for activation memory")
    compile: bool = parameter(
        MACHINE, False, "torch.compile the layers: a quarter faster on a CPU after a minute; needs a C++ compiler"
    )
    offload: bool = parameter(
        MACHINE, False, "inference: what does not fit on the GPU stays in the CPU's memory, then on the disk; slow"
    )

    @classmethod
    def of(cls, values: dict) -> "Config":
        """The parameters among `values` (a notebook's globals()), the rest at their defaults; checked.

        Raises ConfigError for a value of the wrong type or outside its choices.
        """
        config = cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})
        config.check()
        return config

    def check(self):
        """Raises ConfigError for the first parameter that cannot have its value."""
        for f in fields(self):
            value = as_declared(f, getattr(self, f.name))
            setattr(self, f.name, value)
            if reason := problem(f, value):
                raise ConfigError(f"parameter {f.name} is {shown(value)}; {reason}")
        if reason := conflict(self):
            raise ConfigError(f"parameter {reason}")
        check_adapter(self)
        if reason := name_problem(self.run_name):
            raise ConfigError(f"parameter run_name is {shown(self.run_name)}; {reason}")

    def as_dict(self) -> dict:
        return asdict(self)

    def training(self, task: str) -> TrainingSettings:
        """The trainer's settings for `task`, a key of TASKS, or for "text", the words alone."""
        from utils.system.hardware import choose_precision  # here, so that names are checked without loading torch

        return TrainingSettings(
            learning_rate=getattr(self, f"{task}_learning_rate"),
            epochs=getattr(self, f"{task}_epochs"),
            batch_size=self.batch_size,
            gradient_accumulation=self.gradient_accumulation,
            scheduler=self.scheduler,
            warmup_ratio=self.warmup_ratio,
            optimizer=self.optimizer,
            focal_gamma=0.0 if task == "text" else self.focal_gamma,
            gradient_checkpointing=self.gradient_checkpointing,
            compile=self.compile,
            precision=choose_precision() if self.precision == "auto" else self.precision,
            seed=self.seed,
            run_name=self.run_name,
            report_to=self.report_to,
        )

    def adapter_settings(self, opening: str = TaskDefaults.opening) -> dict[str, Any]:
        """The adapter's method and settings, as utils.models.adapters.add_adapter takes them. opening: the task's."""
        return adapter_settings(self, opening)

    def inference(self) -> InferenceSettings:
        """The settings of inference, for any task."""
        return InferenceSettings(self.recipe, self.token_budget, self.max_row_tokens)

    def task(self, name: str, labels: Any = ECF) -> Task:
        """The task `name`, a key of TASKS, as these parameters ask it of items with these labels, or of texts on these
        topics ({name: Topic}); before any training (see Task.trained). Raises ConfigError for what it cannot be asked
        of."""
        return TASKS[name](self, labels)


CHOICES = {f.name: f.metadata["choices"] for f in fields(Config) if "choices" in f.metadata}


def load_config(path) -> dict:
    """The parameters that a YAML file sets, {name: value}, all of them known and possible.

    Raises ConfigError for a file that is missing or no mapping, and for a name that is mistyped (with the nearest known
    one) or there twice.
    """
    values = read_mapping(path)
    check_names(values, path)
    try:
        Config.of(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return values


def check_names(values: Iterable, source) -> None:
    """Raises ConfigError for names that are no parameter."""
    check_known(values, [f.name for f in fields(Config)], source)


def parse_value(name: str, text: str):
    """The value of a parameter on the command line, as its type wants it. Raises ConfigError for text that is none."""
    return parse(name, text, text_wanted=isinstance(getattr(Config, name, None), str))
