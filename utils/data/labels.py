"""Label sets: the labels that a corpus uses, in the order of its tables of probabilities.

    ECF.labels, ECF.neutral, ECF.emotional, len(ECF), ECF.index("joy")
    LabelSet("yes-no", ("no", "yes"), neutral="no")

ECF's seven labels (Wang et al. 2023, SemEval-2024 Task 3) are the default everywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class LabelSet:
    """A named set of labels.

    name     what records and messages call it
    labels   the labels, in the order of every table of probabilities and of every confusion matrix
    neutral  the label that means "none of the others": it has no cause, and no pair; None: there is none
    multi    whether an item may carry several labels
    """

    name: str
    labels: tuple[str, ...]
    neutral: str | None = None
    multi: bool = False

    def __post_init__(self):
        if len(set(self.labels)) < len(self.labels) or not self.labels:
            raise ValueError(f"label set {self.name}: its labels must be there and differ, and are {self.labels}")
        if self.neutral is not None and self.neutral not in self.labels:
            raise ValueError(f"label set {self.name}: the neutral label {self.neutral!r} is not among {self.labels}")

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


ECF = LabelSet("ecf7", ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"), "neutral")
