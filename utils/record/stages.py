"""The notebooks of the chain, once: their order, which task each is about, and what it leaves for later ones.

A notebook that is added to the chain gets a row in STAGES; the other names follow from it.
"""

from dataclasses import dataclass

from utils.system.places import ROOT


@dataclass(frozen=True)
class Stage:
    """One notebook.

    notebook  its file in notebooks/, without .ipynb
    task      the task that it is about, a key of utils.tasks.forms.TASKS
    writes    "adapter": it trains the task. "labels": it labels conversations by the trained adapter
    """

    notebook: str
    task: str
    writes: str


STAGES = (
    Stage("1_emotion_recognition_training", "emotion", "adapter"),
    Stage("2_emotion_inference", "emotion", "labels"),
    Stage("3_cause_prediction_training", "cause", "adapter"),
    Stage("4_cause_inference", "cause", "labels"),
)

NOTEBOOKS = tuple(stage.notebook for stage in STAGES)
TRAINED_BY = {stage.task: stage.notebook for stage in STAGES if stage.writes == "adapter"}
LABELLED_BY = {stage.task: stage.notebook for stage in STAGES if stage.writes == "labels"}
INFERENCE = tuple(LABELLED_BY.values())
# What makes a thing that is missing, for messages: "run FIRST[...] first".
FIRST = {
    "train": "generate_input.py",
    **{f"{stage.task} {stage.writes}": f"notebook {stage.notebook}" for stage in STAGES},
}


def parameter_names(notebook: str) -> list[str]:
    """The names in the parameters cell of a notebook in notebooks/, in their order there."""
    import papermill  # here, because it takes seconds to load

    return list(papermill.inspect_notebook(str(ROOT / "notebooks" / f"{notebook}.ipynb")))
