"""The notebooks in order: which task each trains, what it needs, and what its parameters are."""

from utils.system.places import ROOT

NOTEBOOKS = (
    "1_emotion_recognition_training",
    "2_emotion_inference",
    "3_cause_prediction_training",
    "4_cause_inference",
)


def parameter_names(notebook: str) -> list[str]:
    """The names in the parameters cell of a notebook, given by its name in NOTEBOOKS."""
    import papermill

    return list(papermill.inspect_notebook(str(ROOT / "notebooks" / f"{notebook}.ipynb")))


FIRST = {
    "train": "generate_input.py",
    "emotion adapter": "notebook 1_emotion_recognition_training",
    "emotion labels": "notebook 2_emotion_inference",
    "cause adapter": "notebook 3_cause_prediction_training",
}
INFERENCE = ("2_emotion_inference", "4_cause_inference")
TRAINED_BY = {"emotion": "1_emotion_recognition_training", "cause": "3_cause_prediction_training"}
