"""Texts and the opinions that they hold, as the splits of an input have them (texts.json).

    [{"text_ID": 7, "text": "...", "opinions": {"new-stadium": {"relevant": true, "score": -2}}}, ...]

    relevant  whether the text holds an opinion on the topic
    score     how much it is for the topic, on the scale of the topic's phrases (utils/data/topics.py)
    stance    favor, against or none
    given     {annotator: what he or she said}, where there are several

A text has of them what its data say. An opinion without any is a question: nobody has answered it yet.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from utils.data.topics import TOPICS_FILE, Topic
from utils.data.validation import is_blank, items_with_ids
from utils.system.errors import OpinionError, shown
from utils.system.files import read_json, read_object

TEXTS_FILE = "texts.json"
TASK_TYPES = ("binary", "regression", "regression_with_relevance", "stance")  # what is asked of a text
STANCES = ("against", "none", "favor")
RELEVANT, IRRELEVANT = "relevant", "irrelevant"  # labels that say: an opinion, or none
_FIELDS = ("relevant", "score", "stance", "given")


class Opinion(TypedDict, total=False):
    relevant: bool
    score: float
    stance: str
    given: dict[str, Any]


class Text(TypedDict):
    text_ID: int | str
    text: str
    opinions: dict[str, Opinion]
    augmented: NotRequired[dict[str, Any]]  # of a text that was made of another one (utils/tasks/augment.py)


def stance_of(opinion: Opinion) -> str | None:
    """The stance that an opinion has, or that follows from its score (above 0 favor, below 0 against, 0 none) or from
    holding none; None where nothing says it."""
    if "stance" in opinion:
        return opinion["stance"]
    if opinion.get("relevant") is False:
        return "none"
    if "score" not in opinion:
        return None
    return "favor" if opinion["score"] > 0 else "against" if opinion["score"] < 0 else "none"


def without_opinions(text: Text) -> Text:
    """The text with its questions, and no answer to them."""
    return {**text, "opinions": {topic: {} for topic in text["opinions"]}}


def on_topics(texts: Sequence[Text], names: Collection[str]) -> list[Text]:
    """The texts with their opinions on the topics `names`, those that have one."""
    kept: list[Text] = [
        {**text, "opinions": {name: one for name, one in text["opinions"].items() if name in names}} for text in texts
    ]
    return [text for text in kept if text["opinions"]]


def topics_in(folder: str | Path) -> dict[str, Topic]:
    """{name: topic} of an input that generate_input.py wrote. Raises FileError for a folder that is none."""
    path = Path(folder) / TOPICS_FILE
    return {name: Topic.from_dict(one, f"{path}, {name}") for name, one in read_object(path).items()}


def load_texts(path: str | Path, topics: Mapping[str, Topic], labelled: bool = True) -> list[Text]:
    """The texts in a file that generate_input.py wrote, checked. labelled: whether each must have an opinion that says
    something.

    Raises FileError and OpinionError."""
    return check_texts(read_json(path), path, topics, labelled)


def check_texts(data: Any, source: str | Path, topics: Mapping[str, Topic], labelled: bool) -> list[Text]:
    """`data`, once it is known to be a list of sound texts on these topics.

    Raises OpinionError for the first fault, naming the text, the field and the fix."""
    for where, one in items_with_ids(data, source, "text", OpinionError):
        check_text(one.get("text"), where)
        opinions = one.get("opinions")
        if not isinstance(opinions, dict) or not opinions:
            raise OpinionError(f"{where}, field 'opinions': {shown(opinions)}. Write {{topic: {{}}}} at least")
        for name, opinion in opinions.items():
            if name not in topics:
                raise OpinionError(f"{where}: the topic {shown(name)} is none of {', '.join(topics)}. Name one of them")
            _check_opinion(opinion, f"{where}, {name}", topics[name], labelled)
    return data


def check_text(text: Any, where: str) -> None:
    """Raises OpinionError for what is no text, or one in which nothing can be seen."""
    if not isinstance(text, str):
        raise OpinionError(f"{where}, field 'text': {shown(text)} is no text. Write words")
    if is_blank(text):
        raise OpinionError(f"{where}, field 'text': the text is empty. Write words, or leave the row out")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise OpinionError(f"{where}, field 'text': half a character. Write the whole one, or remove it")


def check_score(score: Any, where: str, topic: Topic) -> float:
    """`score` as a number on the topic's scale. Raises OpinionError for another one."""
    low, high = topic.scores[0], topic.scores[-1]
    if isinstance(score, bool) or not isinstance(score, int | float) or not low <= score <= high:
        raise OpinionError(
            f"{where}, field 'score': {shown(score)} is not on the scale of {topic.name}, {low:g} to {high:g}. "
            "Correct it, or give a topic file with another scale"
        )
    return score


def _check_opinion(opinion, where, topic, labelled):
    if not isinstance(opinion, dict) or not {*opinion} <= {*_FIELDS}:
        raise OpinionError(f"{where}: {shown(opinion)} is no opinion. Write {', '.join(_FIELDS)}, those that are known")
    if labelled and not {*opinion} & {"relevant", "score", "stance"}:
        raise OpinionError(f"{where}: no label. Give relevant, score or stance, or leave the text out")
    if "relevant" in opinion and not isinstance(opinion["relevant"], bool):
        raise OpinionError(f"{where}, field 'relevant': {shown(opinion['relevant'])}. Write true or false")
    if "score" in opinion:
        check_score(opinion["score"], where, topic)
        if opinion.get("relevant") is False:
            raise OpinionError(f"{where}: a score, and relevant is false. Remove one of them")
    if "stance" in opinion and opinion["stance"] not in STANCES:
        raise OpinionError(f"{where}, field 'stance': {shown(opinion['stance'])}. Write one of {', '.join(STANCES)}")
