"""The cause task: its questions, its targets, and how answers become pairs.

    candidates_tree(conversation)              what the model reads, as a tree of text (utils/engine/prefix_tree.py)
    read_candidates(conversation, scores, t)   log-probabilities -> pairs and the probability of every candidate
    published_prompts(conversation)            the published recipe: one prompt an emotional utterance
    Cause(labels, threshold)                   these three as a Task

Twin of utils/tasks/emotion.py. The conversation must carry emotions. One question for each (emotional utterance,
candidate utterance), answered yes or no; utils/tasks/cause_list.py asks for a list of ids instead. In both forms a
question branches off once every utterance it can refer to has been read. A line ends with its id, so the id in a
question can attend to an equal token that has seen the whole line.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from utils.data.conversations import Conversation, Utterance, causes_of, with_pairs
from utils.data.labels import ECF, LabelSet
from utils.engine.prefix_tree import Node, Question, chain
from utils.tasks import cause_structure, emotion
from utils.tasks.candidates import asked, check_causes, emotional
from utils.tasks.pool import Pool, recorded
from utils.tasks.senses import WORDS, Senses
from utils.tasks.task import Beside, OneRound, TaskDefaults, check_labels, probabilities

ANSWERS = (" no", " yes")
INSTRUCTION = "Which utterances cause an emotion?"


def line(utterance: Utterance, senses: Senses = WORDS) -> str:
    """One utterance as one line, with its emotion, and its id at the end."""
    return f"{emotion.line(utterance, utterance['emotion'], senses)} #{utterance['utterance_ID']}"


def trunk(
    conversation: Conversation, branches: dict[int, list[Node]], opening: str = INSTRUCTION, senses: Senses = WORDS
) -> Node:
    """The conversation with its emotions behind `opening`, and `branches[k]` behind the utterance at position k."""
    utterances = conversation["conversation"]
    return chain(opening, [line(u, senses) for u in utterances], branches, [senses.vectors(u) for u in utterances])


# ---- one question a candidate -----------------------------------------------------------------------------------


def candidates_tree(
    conversation: Conversation,
    train: bool = False,
    labels: LabelSet = ECF,
    pool: Pool | None = None,
    senses: Senses = WORDS,
) -> Node:
    """The conversation; behind the later utterance of every pair the question for it, answered yes or no:
    " <= #3" (does 3 cause the emotion of this one?) and " => #3" (does this one cause the emotion of 3?). `pool`
    words it in words instead. `senses` add to the lines."""
    if pool is not None:
        return _worded_tree(conversation, train, labels, pool, senses)
    ids = [u["utterance_ID"] for u in conversation["conversation"]]
    gold = causes_of(conversation, labels) if train else {}
    branches = {}
    for i, j in asked(conversation, labels):
        here, there, arrow = (i, j, " <= #") if i >= j else (j, i, " => #")
        node = branches.setdefault(here, {}).setdefault(arrow, Node(arrow))
        answer = ANSWERS[ids[j] in gold.get(ids[i], [])] if train else None
        node.children.append(Node(str(ids[there]), Question(ANSWERS, answer)))
    return trunk(conversation, {here: list(arrows.values()) for here, arrows in branches.items()}, senses=senses)


def _worded_tree(conversation: Conversation, train: bool, labels: LabelSet, pool: Pool, senses: Senses) -> Node:
    """`candidates_tree` with the questions of `pool`, in the same order."""
    utterances, gold = conversation["conversation"], causes_of(conversation, labels) if train else {}
    name, branches = pool.named(conversation, train), {}
    for i, j in asked(conversation, labels):
        end, cause = utterances[i], utterances[j]["utterance_ID"]
        right = ANSWERS[cause in gold.get(end["utterance_ID"], [])] if train else None
        text = pool.put(name, emotion=end["utterance_ID"], cause=cause, label=end["emotion"])
        branches.setdefault(max(i, j), []).append(Node(text, Question(ANSWERS, right)))
    return trunk(conversation, branches, pool.opening.format(), senses)


def read_candidates(
    conversation: Conversation,
    scores: list[list[float]],
    threshold: float,
    structure: list[float] | None = None,
    emotions: list[list[float]] | None = None,
    labels: LabelSet = ECF,
) -> tuple[Conversation, dict[int, dict[int, float]]]:
    """The conversation with its likely pairs, and {utterance id: {candidate id: P}}, where P is the probability that
    the candidate caused the emotion.

    scores     for each question of `candidates_tree`, in its order, the log-probabilities of no and yes
    threshold  a pair is named from this probability on: that of its emotion times P. The best is half the F1 that is
               reached (Lipton et al., ECML PKDD 2014)
    structure  for each question the log-odds of yes (cause_structure.Structure.log_odds); P then averages both
               log-odds, a logarithmic opinion pool (Genest and Zidek 1986)
    emotions   for each utterance the probabilities of the labels, of which the likeliest was named; none: gold emotions
    """
    utterances = conversation["conversation"]
    if structure is not None:
        scores = _pooled(scores, structure)
    pairs = asked(conversation, labels)
    probability = {pair: probabilities(one)[1] for pair, one in zip(pairs, scores, strict=True)}
    triples, table = [], {}
    for i, j in sorted(probability):
        u, candidate, p = utterances[i], utterances[j]["utterance_ID"], probability[i, j]
        table.setdefault(u["utterance_ID"], {})[candidate] = p
        if p * (max(emotions[i]) if emotions else 1) >= threshold:
            triples.append((u["utterance_ID"], u["emotion"], candidate))
    return with_pairs(conversation, triples), table


def _pooled(scores: list[list[float]], odds: list[float]) -> list[list[float]]:
    """Scores of no and yes whose log-odds are the mean of those of `scores` and of `odds`."""
    return [[no / 2, (yes + other) / 2] for (no, yes), other in zip(scores, odds, strict=True)]


def with_gold_causes(labelled: Conversation, gold: Conversation, labels: LabelSet = ECF) -> Conversation:
    """A conversation with predicted emotions and the gold causes of the same utterances: what cause training reads
    with cause_emotions="predicted". An utterance whose emotion is predicted, but neutral in gold, has no cause."""
    causes = causes_of(gold, labels)
    return with_pairs(
        labelled,
        [
            (u["utterance_ID"], u["emotion"], cause)
            for u in labelled["conversation"]
            if u["emotion"] != labels.neutral
            for cause in causes.get(u["utterance_ID"], [])
        ],
    )


# ---- the published recipe: one prompt an emotional utterance, the whole conversation in each --------------


def published_prompts(conversation: Conversation, labels: LabelSet = ECF) -> list[tuple[str, str | None]]:
    """(prompt, completion) for every emotional utterance; completions only where the conversation has pairs."""
    gold = causes_of(conversation, labels) if "emotion-cause_pairs" in conversation else None
    turns = "\n".join(
        f"utterance_id :: {u['utterance_ID']}, speaker :: {' '.join(u['speaker'].split())}, "
        f"emotion :: {u['emotion']}, text :: {' '.join(u['text'].split())}"
        for u in conversation["conversation"]
    )
    result = []
    for position in emotional(conversation, labels):
        u = conversation["conversation"][position]
        prompt = (
            "Below is a conversation with the emotion of every utterance, followed by one of its utterances. Your "
            "task is to list the ids of the utterances which caused the emotion of that utterance.\n\n"
            f"### Conversation:\n{turns}\n\n### Utterance:\nutterance_id :: {u['utterance_ID']}, speaker :: "
            f"{' '.join(u['speaker'].split())}, emotion :: {u['emotion']}, text :: {' '.join(u['text'].split())}\n\n"
            "### Causes:\n"
        )
        completion = None if gold is None else f"utterance_ids :: {gold[u['utterance_ID']]}"
        result.append((prompt, completion))
    return result


def parse_published(text: str, ids: list[int]) -> list[int] | None:
    """The ids in a generated text's first list, without those that are no utterance; None where there is none."""
    found = re.search(r"\[([\d,\s]*)\]", text)
    return None if found is None else sorted({i for i in ids if str(i) in re.findall(r"\d+", found[1])})


def parse_all(conversation: Conversation, texts: list[str], labels: LabelSet = ECF) -> tuple[Conversation, dict, int]:
    """(the conversation with the pairs that the generated `texts` name, one text an emotional utterance; {utterance
    id: {candidate id: 1.0}}; how many texts hold no list)."""
    utterances = conversation["conversation"]
    ids, triples, table, unparsed = [u["utterance_ID"] for u in utterances], [], {}, 0
    for position, written in zip(emotional(conversation, labels), texts, strict=True):
        causes = parse_published(written, ids)
        unparsed += causes is None
        u = utterances[position]
        triples += [(u["utterance_ID"], u["emotion"], cause) for cause in causes or []]
        table[u["utterance_ID"]] = {cause: 1.0 for cause in causes or []}
    return with_pairs(conversation, triples), table, unparsed


@dataclass(frozen=True)
class Cause(TaskDefaults):
    """The task with one question a candidate.

    threshold  see `read_candidates`
    structure  the boosted trees beside the adapter (utils/tasks/cause_structure.py); None: the adapter alone
    emotions   {conversation_ID: utterances x labels}, the probabilities that the emotion task gave; None: gold emotions
    pool       how the questions are worded; None: as they always were
    senses     what a line has beside the words
    encoder    what is averaged with what adapter and trees say; None: nothing
    """

    labels: LabelSet = ECF
    threshold: float = 0.2
    structure: cause_structure.Structure | None = None
    emotions: dict | None = None
    pool: Pool | None = None
    senses: Senses = WORDS
    encoder: Beside | None = None

    def __post_init__(self):
        check_causes(self.labels)

    name = "cause"
    new_tokens = 25  # the published recipe's
    unparsed = "no cause"
    on_emotions = True
    opening = INSTRUCTION

    def tree(self, item: Conversation, train: bool = False) -> Node:
        return candidates_tree(item, train, self.labels, self.pool, self.senses)

    def prompts(self, item: Conversation) -> list[tuple[str, str | None]]:
        return published_prompts(item, self.labels)

    def ask(self, item: Conversation) -> OneRound:
        def read(scores):
            odds = self.structure.log_odds(item) if self.structure else None
            emotions = self.emotions[item["conversation_ID"]] if self.emotions else None
            if self.encoder:
                scores, odds = _pooled(scores, odds) if odds else scores, self.encoder.causes(item)
            return read_candidates(item, scores, self.threshold, odds, emotions, self.labels)

        return OneRound(self.tree(item), read)

    def parse(self, item: Conversation, texts: list[str]) -> tuple[Conversation, dict, int]:
        return parse_all(item, texts, self.labels)

    def counts(self, items: list[Conversation]) -> dict[str, float]:
        return emotion.counts(items, self.labels)

    def beside(self, items: list[Conversation], seed: int) -> cause_structure.Structure | None:
        return cause_structure.learn(items, seed, self.labels)

    def decided(self, items: list[Conversation], tables: Callable[[], list]) -> dict[str, Any]:
        """{"prompts": the wordings}; {} where there are none."""
        return {"prompts": self.pool.as_dict()} if self.pool else {}

    def trained(self, adapter: Path) -> "Cause":
        check_labels(self.labels, adapter)
        structure = cause_structure.load(adapter, self.labels)
        return replace(self, structure=structure, pool=recorded(self.pool, adapter))

    def given_emotions(self, conversations: list[Conversation], tables: list) -> "Cause":
        """The task for these conversations, whose emotions the emotion task named with the probabilities `tables`
        (for each conversation utterances x labels)."""
        ids = (c["conversation_ID"] for c in conversations)
        return replace(self, emotions=dict(zip(ids, tables, strict=True)))
