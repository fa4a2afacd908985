"""The label sets that come ready-made, by their names: those of the corpora that have readers.

    SETS["iemocap4"]; find_labels("iemocap4"); find_labels("mine.json")

The order is the publisher's, where there is one. A set's `merge` and `leave_out` say what becomes of a corpus' other
labels; nothing is merged or left out that is not named there.
"""

from difflib import get_close_matches
from pathlib import Path

from utils.data.labels import ECF, LabelSet
from utils.system.errors import FileError, shown

_IEMOCAP = ("neutral", "happy", "sad", "angry", "excited", "frustrated", "fearful", "surprised", "disgusted", "other")
_BUSSO = "IEMOCAP: Busso et al. 2008"
_GOEMOTIONS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire",
    "disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy",
    "love", "nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)  # fmt: skip
# GoEmotions' groups of Ekman's six (Demszky et al. 2020), without the group's own name.
_EKMAN = {
    "anger": ("annoyance", "disapproval"),
    "fear": ("nervousness",),
    "joy": (
        "admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude", "love", "optimism",
        "pride", "relief", "happiness",
    ),
    "sadness": ("disappointment", "embarrassment", "grief", "remorse"),
    "surprise": ("confusion", "curiosity", "realization"),
}  # fmt: skip

SETS: dict[str, LabelSet] = {
    one.name: one
    for one in (
        ECF,
        LabelSet(
            "meld7",
            ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
            "neutral",
            source="MELD: Poria et al. 2019",
        ),
        LabelSet(
            "emorynlp7",
            ("Neutral", "Joyful", "Peaceful", "Powerful", "Scared", "Mad", "Sad"),
            "Neutral",
            source="EmoryNLP: Zahiri and Choi 2018",
        ),
        LabelSet(
            "dailydialog7",
            ("no emotion", "anger", "disgust", "fear", "happiness", "sadness", "surprise"),
            "no emotion",
            source="DailyDialog: Li et al. 2017",
        ),
        LabelSet(
            "iemocap4",
            _IEMOCAP[:4],
            "neutral",
            merge={"excited": "happy"},
            leave_out=_IEMOCAP[5:],
            source=_BUSSO,
        ),
        LabelSet("iemocap6", _IEMOCAP[:6], "neutral", leave_out=_IEMOCAP[6:], source=_BUSSO),
        LabelSet("iemocap9", _IEMOCAP[:9], "neutral", leave_out=_IEMOCAP[9:], source=_BUSSO),
        LabelSet("iemocap10", _IEMOCAP, "neutral", source=_BUSSO),
        LabelSet("goemotions28", _GOEMOTIONS, "neutral", multi=True, source="GoEmotions: Demszky et al. 2020"),
        LabelSet(
            "semeval11",
            (
                "anger",
                "anticipation",
                "disgust",
                "fear",
                "joy",
                "love",
                "optimism",
                "pessimism",
                "sadness",
                "surprise",
                "trust",
            ),  # fmt: skip
            multi=True,
            source="SemEval-2018 Task 1, E-c: Mohammad et al. 2018",
        ),
        LabelSet(
            "dair6",
            ("sadness", "joy", "love", "anger", "fear", "surprise"),
            source="dair-ai/emotion: Saravia et al. 2018",
        ),
        LabelSet(
            "ekman6",
            ("anger", "disgust", "fear", "joy", "sadness", "surprise"),
            merge={label: group for group, labels in _EKMAN.items() for label in labels},
            leave_out=("neutral", "no emotion"),
            source="Ekman 1992; GoEmotions' groups: Demszky et al. 2020",
        ),
    )
}


def find_labels(name: str | Path) -> LabelSet:
    """The ready-made set called `name`, or the set in the file at this path. Raises FileError where there is neither,
    and for a file that holds no label set."""
    if str(name) in SETS:
        return SETS[str(name)]
    if Path(name).is_file():
        return LabelSet.read(name)
    near = get_close_matches(str(name), SETS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"ready-made are {', '.join(SETS)}; or write a file"
    raise FileError(f"{shown(str(name))}: no such label set, and no such file; {hint}")
