"""Label sets: the labels that a corpus uses, in the order of its tables of probabilities.

    ECF.labels, ECF.neutral, ECF.emotional, len(ECF), ECF.index("joy")
    LabelSet("yes-no", ("no", "yes"), neutral="no")
    LabelSet.read("mine.json"); labels_in("input/mine")        # a file of labels; that of an input folder

ECF's seven labels (Wang et al. 2023, SemEval-2024 Task 3) are the default everywhere. utils/data/label_sets.py has the
sets of other corpora.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.system.errors import FileError, shown
from utils.system.files import read_object

LABELS_FILE = "labels.json"  # beside the splits of an input


@dataclass(frozen=True)
class LabelSet:
    """A named set of labels. Two are equal where `labels`, `neutral` and `multi` are.

    name       what records and messages call it
    labels     the labels, in the order of every table of probabilities and of every confusion matrix
    neutral    the label that means "none of the others": it has no cause, and no pair; None: there is none
    multi      whether an item may carry several labels
    merge      {label of a corpus: the label of the set that stands for it}
    leave_out  labels of a corpus that the set has no label for: their utterances count as unlabelled
    source     where the set comes from
    """

    name: str = field(compare=False)
    labels: tuple[str, ...]
    neutral: str | None = None
    multi: bool = False
    merge: Mapping[str, str] = field(default_factory=dict, compare=False)
    leave_out: tuple[str, ...] = field(default=(), compare=False)
    source: str = field(default="", compare=False)

    def __post_init__(self):
        if len(set(self.labels)) < len(self.labels) or not self.labels:
            raise ValueError(f"label set {self.name}: its labels must be there and differ, and are {self.labels}")
        for label in self.labels:
            if not label.isprintable() or " ".join(label.split()) != label or not 0 < len(label) <= 100:
                raise ValueError(f"label set {self.name}: the label {shown(label)} must be words of one line")
        if self.neutral is not None and self.neutral not in self.labels:
            raise ValueError(f"label set {self.name}: the neutral label {self.neutral!r} is not among {self.labels}")
        for label, target in self.merge.items():
            if target not in self.labels or label in self.labels:
                raise ValueError(
                    f"label set {self.name}: merge says {label!r}: {target!r}, and must lead from a label of the "
                    f"corpus that is not in the set to one of {self}"
                )
        for label in self.leave_out:
            if label in self.labels or label in self.merge:
                raise ValueError(f"label set {self.name}: leave_out says {label!r}, which is a label or is merged")

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __contains__(self, label: object) -> bool:
        return label in self.labels

    def index(self, label: str) -> int:
        """The label's place in the set. Raises ValueError for a label that is not in it."""
        return self.labels.index(label)

    @property
    def emotional(self) -> tuple[str, ...]:
        """The labels without the neutral one."""
        return tuple(label for label in self.labels if label != self.neutral)

    def __str__(self) -> str:
        return ", ".join(self.labels)

    # ---- as JSON -------------------------------------------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        """The set as records and labels.json hold it; `merge`, `leave_out` and `source` only where there are any."""
        parts = {"merge": dict(self.merge), "leave_out": list(self.leave_out), "source": self.source}
        return {
            "name": self.name,
            "labels": list(self.labels),
            "neutral": self.neutral,
            "multi": self.multi,
            **{name: value for name, value in parts.items() if value},
        }

    @classmethod
    def from_dict(cls, data: Any, source: str | Path) -> "LabelSet":
        """The set that `as_dict` wrote, or that a person did: "labels" is required, and "name" too.

        source  what messages call it

        Raises FileError for what is no label set.
        """
        example = '{"name": "mine", "labels": ["calm", "happy", "sad"], "neutral": "calm"}'
        forms = {
            "name": ("a word", lambda value: isinstance(value, str) and value.isprintable() and 0 < len(value) <= 100),
            "labels": ("a list of words", _are_texts),
            "neutral": ("one of the labels, or null", lambda value: isinstance(value, str | None)),
            "multi": ("true or false", lambda value: isinstance(value, bool)),
            "merge": (
                "{label of the data: label of the set}",
                lambda value: isinstance(value, dict) and _are_texts([*value.values()]),
            ),
            "leave_out": ("a list of labels of the data", _are_texts),
            "source": ("a text", lambda value: isinstance(value, str)),
        }
        if not isinstance(data, dict) or not {"name", "labels"} <= {*data}:
            raise FileError(f"{source}: {shown(data)} is no label set. Write {example}")
        for name, value in data.items():
            if name not in forms:
                raise FileError(f"{source}: field {shown(name)} is unknown. A label set has {', '.join(forms)}")
            form, fits = forms[name]
            if not fits(value):
                raise FileError(f"{source}: field {name!r} is {shown(value)}. Write {form}")
        lists = {name: tuple(data[name]) for name in ("labels", "leave_out") if name in data}
        try:
            return cls(**{**data, **lists})
        except ValueError as error:
            raise FileError(f"{source}: {error}. Correct the file") from error

    @classmethod
    def read(cls, path: str | Path) -> "LabelSet":
        """The set in the JSON file at `path`. Raises FileError."""
        return cls.from_dict(read_object(path), path)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


ECF = LabelSet(
    "ecf7",
    ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"),
    "neutral",
    source="Wang et al. 2023; SemEval-2024 Task 3",
)


def labels_in(folder: str | Path) -> LabelSet:
    """The label set of an input that generate_input.py wrote: that of its labels.json, or ECF's where there is none.

    Raises FileError for a file that holds none."""
    path = Path(folder) / LABELS_FILE
    return LabelSet.read(path) if path.is_file() else ECF


def recorded_labels(record: dict, source: str | Path) -> LabelSet:
    """The label set that a record (training.json, a record in config.json) names; ECF's where it is older than label
    sets. Raises FileError for a damaged one."""
    return LabelSet.from_dict(record["labels"], source) if "labels" in record else ECF
