"""The notebooks of the chains, once: their order, which task each is about, and what it leaves for later ones.

A notebook that is added to a chain gets a row in CHAINS; the other names follow from it. What the input holds says
which chain is run (utils/record/inputs.py).
"""

from dataclasses import dataclass

from utils.system.places import ROOT


@dataclass(frozen=True)
class Stage:
    """One notebook.

    notebook  its file in notebooks/, without .ipynb
    task      the task that it is about, a key of utils.tasks.forms.TASKS
    writes    "adapter": it trains the task. "labels": it labels items, or answers them, by the trained adapter
    """

    notebook: str
    task: str
    writes: str


CHAINS = CONVERSATIONS, TEXTS, EXAMPLES = (
    (
        Stage("1_emotion_recognition_training", "emotion", "adapter"),
        Stage("2_emotion_inference", "emotion", "labels"),
        Stage("3_cause_prediction_training", "cause", "adapter"),
        Stage("4_cause_inference", "cause", "labels"),
    ),
    (
        Stage("opinion_training", "opinion", "adapter"),
        Stage("opinion_inference", "opinion", "labels"),
    ),
    (
        Stage("instruction_training", "instruction", "adapter"),
        Stage("instruction_inference", "instruction", "labels"),
    ),
)
STAGES = tuple(stage for chain in CHAINS for stage in chain)

NOTEBOOKS = tuple(stage.notebook for stage in CONVERSATIONS)
EMOTION_TASKS, TEXT_TASKS, EXAMPLE_TASKS = (
    tuple(stage.task for stage in chain if stage.writes == "adapter") for chain in CHAINS
)
TRAINED_BY = {stage.task: stage.notebook for stage in STAGES if stage.writes == "adapter"}
LABELLED_BY = {stage.task: stage.notebook for stage in STAGES if stage.writes == "labels"}
INFERENCE = tuple(LABELLED_BY.values())
# What makes a thing that is missing, for messages: "run FIRST[...] first".
FIRST = {
    "train": "generate_input.py",
    **{f"{stage.task} {stage.writes}": f"notebook {stage.notebook}" for stage in STAGES},
}


def chain_with(notebook: str) -> tuple[Stage, ...]:
    """The chain that a notebook is in. Raises KeyError for one that is in none."""
    return {stage.notebook: chain for chain in CHAINS for stage in chain}[notebook]


def parameter_names(notebook: str) -> list[str]:
    """The names in the parameters cell of a notebook in notebooks/, in their order there."""
    import papermill  # here, because it takes seconds to load

    return list(papermill.inspect_notebook(str(ROOT / "notebooks" / f"{notebook}.ipynb")))
