"""The published form of answer for causes: a list of ids, found exactly by best-first search."""

import heapq
import math
from dataclasses import dataclass
from pathlib import Path

from utils.data.conversations import Conversation, causes_of, with_pairs
from utils.data.labels import ECF, LabelSet
from utils.engine.prefix_tree import Node, Question
from utils.tasks import emotion
from utils.tasks.candidates import candidates, check_causes, emotional, window
from utils.tasks.cause import INSTRUCTION, parse_all, published_prompts, trunk
from utils.tasks.senses import WORDS, Senses
from utils.tasks.task import TaskDefaults, check_labels, probabilities


def list_options(ids: list[int], taken: tuple[int, ...]) -> tuple[str, ...]:
    """How a list may go on behind the ids `taken`: a later id and more to come ("3,"), or the last one ("3]");
    nothing at all ("]") only at the beginning. Each is one allowed answer of the question at that point."""
    later = sorted(i for i in ids if not taken or i > taken[-1])
    options = [f"{i}{end}" for i in later for end in ",]" if end == "]" or i != later[-1]]
    return tuple(options if taken else [*options, "]"])


def list_tree(
    conversation: Conversation,
    train: bool = False,
    open_lists: dict | None = None,
    labels: LabelSet = ECF,
    senses: Senses = WORDS,
) -> Node:
    """The conversation; behind the last candidate of each emotional utterance the beginnings of its list of causes.
    `senses` add to the lines.

    In training the beginnings are those of the gold list; otherwise `open_lists`, {position: [ids taken, ...]}.
    """
    gold, lists = causes_of(conversation, labels) if train else {}, open_lists or {}
    branches = {}
    for position in emotional(conversation, labels) if train else lists:
        ids = candidates(conversation, position)
        number = conversation["conversation"][position]["utterance_ID"]
        node = Node(f" #{number} <= [")
        if train:
            _add_gold_list(node, ids, [c for c in gold[number] if c in ids])
        else:
            for taken in lists[position]:
                _add_open_list(node, ids, taken)
        branches.setdefault(window(conversation, position)[-1], []).append(node)
    return trunk(conversation, branches, senses=senses)


def _add_gold_list(node, ids, causes):
    taken: tuple[int, ...] = ()
    for cause in causes or [None]:
        end = "," if cause is not None and cause != causes[-1] else "]"
        answer = f"{'' if cause is None else cause}{end}"
        node.question = Question(list_options(ids, taken), answer)
        taken += () if cause is None else (cause,)
        if end == ",":
            node.children.append(Node(answer))
            node = node.children[0]


def _add_open_list(node, ids, taken):
    for i in taken:
        child = next((c for c in node.children if c.text == f"{i},"), None)
        if child is None:
            child = Node(f"{i},")
            node.children.append(child)
        node = child
    node.question = Question(list_options(ids, taken))


class ListSearch:
    """The likeliest list of causes of each emotional utterance, found exactly by best-first search.

    Every round asks the model how the open lists go on (`tree`), and `update` takes its answers, until no open
    list is likelier than the best finished one; then nothing left can be, since a list only loses probability
    as it grows. Probabilities of single candidates are sums over the finished lists that hold them, relative
    to all finished lists.
    """

    def __init__(self, conversation: Conversation, width: int = 2, labels: LabelSet = ECF, senses: Senses = WORDS):
        self.conversation, self.width, self.labels, self.senses = conversation, width, labels, senses
        self.open = {position: [(0.0, ())] for position in emotional(conversation, labels)}  # heaps of (-log p, taken)
        self.finished = {position: {} for position in self.open}  # {taken: log p}
        self.asked = {}

    def tree(self) -> Node | None:
        """The questions of the next round, or None when every search has ended."""
        self.asked = {}
        for position, heap in self.open.items():
            best = max(self.finished[position].values(), default=-math.inf)
            popped = []
            while heap and len(popped) < self.width and -heap[0][0] > best:
                popped.append(heapq.heappop(heap))
            if popped:
                # the order in which list_tree puts the questions: depth first, shorter lists before longer
                self.asked[position] = sorted(popped, key=lambda one: one[1])
        lists = {position: [taken for _, taken in popped] for position, popped in self.asked.items()}
        if not lists:
            return None
        return list_tree(self.conversation, open_lists=lists, labels=self.labels, senses=self.senses)

    def update(self, scores: list[list[float]]):
        """`scores`: for each question of `tree`, in its order, the log-probability of each option."""
        answers = iter(scores)
        for position, popped in self.asked.items():
            ids = candidates(self.conversation, position)
            for cost, taken in popped:
                options = list_options(ids, taken)
                values = next(answers)
                total = max(values) + math.log(sum(math.exp(v - max(values)) for v in values))
                for option, value in zip(options, values):
                    longer = taken + ((int(option[:-1]),) if option[:-1] else ())
                    logp = -cost + value - total
                    if option.endswith("]"):
                        self.finished[position][longer] = logp
                    else:
                        heapq.heappush(self.open[position], (-logp, longer))

    def read(self):
        """The conversation with the pairs of the likeliest lists, and {utterance id: {candidate id: P}}."""
        utterances, triples, table = self.conversation["conversation"], [], {}
        for position, lists in self.finished.items():
            u = utterances[position]
            shares = dict(zip(lists, probabilities(list(lists.values()))))
            table[u["utterance_ID"]] = {
                c: sum(share for taken, share in shares.items() if c in taken)
                for c in candidates(self.conversation, position)
            }
            triples += [(u["utterance_ID"], u["emotion"], c) for c in max(lists, key=lists.__getitem__)]
        return with_pairs(self.conversation, triples), table


@dataclass(frozen=True)
class CauseList(TaskDefaults):
    """The task with one question an emotional utterance, answered by a list of ids. Twin of cause.Cause.

    senses  what a line has beside the words
    """

    labels: LabelSet = ECF
    senses: Senses = WORDS

    def __post_init__(self):
        check_causes(self.labels)

    name = "cause"
    new_tokens = 25  # the published recipe's
    unparsed = "no cause"
    on_emotions = True
    opening = INSTRUCTION

    def tree(self, item: Conversation, train: bool = False) -> Node:
        return list_tree(item, train, None if train else {}, self.labels, self.senses)

    def prompts(self, item: Conversation) -> list[tuple[str, str | None]]:
        return published_prompts(item, self.labels)

    def ask(self, item: Conversation) -> ListSearch:
        return ListSearch(item, labels=self.labels, senses=self.senses)

    def parse(self, item: Conversation, texts: list[str]) -> tuple[Conversation, dict, int]:
        return parse_all(item, texts, self.labels)

    def counts(self, items: list[Conversation]) -> dict[str, float]:
        return emotion.counts(items, self.labels)

    def trained(self, adapter: Path) -> "CauseList":
        check_labels(self.labels, adapter)
        return self

    def given_emotions(self, conversations: list[Conversation], tables: list) -> "CauseList":
        """The task for these conversations; their emotions' probabilities are not read."""
        return self
