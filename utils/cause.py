"""The cause task: its labels, its prefix and questions, its targets, and how answers become JSON.

    tree(conversation, form)           what the model reads, as a tree of text (utils/prefix_tree.py)
    read_candidates, ListSearch        log-probabilities -> pairs and the probability of every candidate
    published_prompts(conversation)    the published recipe: one prompt an emotional utterance

Twin of utils/emotion.py. The conversation must carry emotions. Two forms of answer:

    candidates   one question for each (emotional utterance, candidate utterance), answered yes or no
    list         one question for each emotional utterance, answered by a list of ids, "1,3]"

In both a question branches off as soon as all that it may name has been said, and a line ends with its id: a
question's id then meets an equal one that has read the whole line.
"""

import heapq
import math
import re

from utils import emotion
from utils.conversations import NEUTRAL, causes_of, with_pairs
from utils.prefix_tree import Node, Question, chain

FORMS = ("candidates", "list")
ANSWERS = (" no", " yes")
INSTRUCTION = "Which utterances cause an emotion?"
# Candidates stand from 8 utterances before the emotion to 3 after it: 99.5 % of ECF's pairs, and the number of
# questions grows with the length of a conversation, not with its square.
WINDOW = (-8, 3)


def emotional(conversation: dict) -> list[int]:
    """Positions (from 0) of the utterances that carry an emotion other than neutral."""
    return [i for i, u in enumerate(conversation["conversation"]) if u["emotion"] != NEUTRAL]


def window(conversation: dict, position: int) -> range:
    """Positions of the utterances that may have caused the emotion of the one at `position`."""
    return range(max(position + WINDOW[0], 0), min(position + WINDOW[1] + 1, len(conversation["conversation"])))


def candidates(conversation: dict, position: int) -> list[int]:
    """Ids of the utterances that may have caused the emotion of the one at `position`."""
    return [conversation["conversation"][j]["utterance_ID"] for j in window(conversation, position)]


def line(utterance: dict) -> str:
    """One utterance as one line, with its emotion, and its id at the end."""
    return f"{emotion.line(utterance, utterance['emotion'])} #{utterance['utterance_ID']}"


def trunk(conversation: dict, branches: dict[int, list[Node]]) -> Node:
    """The conversation with its emotions, and `branches[k]` behind the utterance at position k."""
    return chain(INSTRUCTION, [line(u) for u in conversation["conversation"]], branches)


# ---- one question a candidate -----------------------------------------------------------------------------------


def asked(conversation: dict) -> list[tuple[int, int]]:
    """(position of the emotional utterance, position of its candidate), in the order of `candidates_tree`: behind
    each utterance first the candidates for its own emotion, then the earlier emotions that it may have caused."""
    pairs = [(i, j) for i in emotional(conversation) for j in window(conversation, i)]
    return sorted(pairs, key=lambda pair: (max(pair), pair[0] < pair[1], pair))


def candidates_tree(conversation: dict, train: bool = False) -> Node:
    """The conversation; behind the later utterance of every pair the question for it, answered yes or no:
    " <= #3" (does 3 cause the emotion of this one?) and " => #3" (does this one cause the emotion of 3?)."""
    ids = [u["utterance_ID"] for u in conversation["conversation"]]
    gold = causes_of(conversation) if train else {}
    branches = {}
    for i, j in asked(conversation):
        here, there, arrow = (i, j, " <= #") if i >= j else (j, i, " => #")
        node = branches.setdefault(here, {}).setdefault(arrow, Node(arrow))
        answer = ANSWERS[ids[j] in gold.get(ids[i], [])] if train else None
        node.children.append(Node(str(ids[there]), Question(ANSWERS, answer)))
    return trunk(conversation, {here: list(arrows.values()) for here, arrows in branches.items()})


def read_candidates(conversation: dict, scores: list[list[float]], threshold: float, structure: list[float] = None,
                    emotions: list[list[float]] = None):
    """The conversation with its likely pairs, and {utterance id: {candidate id: P}}, where P is the probability that
    the candidate caused the emotion.

    scores     for each question of `candidates_tree`, in its order, the log-probabilities of no and yes
    threshold  a pair is named from this probability on: that of its emotion times P. The best is half the F1 that is
               reached (Lipton et al., ECML PKDD 2014)
    structure  for each question the log-odds of yes by structure.log_odds; P is then of the average of both log-odds,
               a logarithmic opinion pool (Genest and Zidek 1986)
    emotions   for each utterance the probabilities of the labels, of which the likeliest was named; none: gold emotions
    """
    utterances = conversation["conversation"]
    if structure is not None:
        scores = [[no / 2, (yes + odds) / 2] for (no, yes), odds in zip(scores, structure, strict=True)]
    probability = {pair: emotion.probabilities(one)[1] for pair, one in zip(asked(conversation), scores, strict=True)}
    triples, table = [], {}
    for i, j in sorted(probability):
        u, candidate, p = utterances[i], utterances[j]["utterance_ID"], probability[i, j]
        table.setdefault(u["utterance_ID"], {})[candidate] = p
        if p * (max(emotions[i]) if emotions else 1) >= threshold:
            triples.append((u["utterance_ID"], u["emotion"], candidate))
    return with_pairs(conversation, triples), table


# ---- the list of ids ------------------------------------------------------------------------------------------


def list_options(ids: list[int], taken: tuple[int, ...]) -> tuple[str, ...]:
    """How a list may go on behind the ids `taken`: a later id and more to come ("3,"), or the last one ("3]");
    nothing at all ("]") only at the beginning. Each is one allowed answer of the question at that point."""
    later = sorted(i for i in ids if not taken or i > taken[-1])
    options = [f"{i}{end}" for i in later for end in ",]" if end == "]" or i != later[-1]]
    return tuple(options if taken else [*options, "]"])


def list_tree(conversation: dict, train: bool = False, open_lists: dict | None = None) -> Node:
    """The conversation; behind the last candidate of each emotional utterance the beginnings of its list of causes.

    In training the beginnings are those of the gold list; otherwise `open_lists`, {position: [ids taken, ...]}.
    """
    gold = causes_of(conversation) if train else {}
    branches = {}
    for position in emotional(conversation) if train else open_lists:
        ids = candidates(conversation, position)
        number = conversation["conversation"][position]["utterance_ID"]
        node = Node(f" #{number} <= [")
        if train:
            _add_gold_list(node, ids, [c for c in gold[number] if c in ids])
        else:
            for taken in open_lists[position]:
                _add_open_list(node, ids, taken)
        branches.setdefault(window(conversation, position)[-1], []).append(node)
    return trunk(conversation, branches)


def _add_gold_list(node, ids, causes):
    taken = ()
    for cause in causes or [None]:
        end = "," if cause is not None and cause != causes[-1] else "]"
        answer = f"{'' if cause is None else cause}{end}"
        node.question = Question(list_options(ids, taken), answer)
        taken += (cause,)
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

    def __init__(self, conversation: dict, width: int = 2):
        self.conversation, self.width = conversation, width
        self.open = {position: [(0.0, ())] for position in emotional(conversation)}  # heaps of (-log p, taken)
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
        return list_tree(self.conversation, open_lists=lists) if lists else None

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
            shares = dict(zip(lists, emotion.probabilities(list(lists.values()))))
            table[u["utterance_ID"]] = {
                c: sum(share for taken, share in shares.items() if c in taken)
                for c in candidates(self.conversation, position)
            }
            triples += [(u["utterance_ID"], u["emotion"], c) for c in max(lists, key=lists.get)]
        return with_pairs(self.conversation, triples), table


def tree(conversation: dict, form: str, train: bool = False) -> Node:
    """The training tree of either form, or the inference tree of the candidates form."""
    return (candidates_tree if form == "candidates" else list_tree)(conversation, train)


def with_gold_causes(labelled: dict, gold: dict) -> dict:
    """A conversation with predicted emotions and the gold causes of the same utterances: what cause training reads
    with cause_emotions="predicted". An utterance whose emotion is predicted, but neutral in gold, has no cause."""
    causes = causes_of(gold)
    return with_pairs(labelled, [
        (u["utterance_ID"], u["emotion"], cause)
        for u in labelled["conversation"] if u["emotion"] != NEUTRAL for cause in causes.get(u["utterance_ID"], [])
    ])


# ---- the rule that is a row of every results table ------------------------------------------------------


def rule(conversation: dict) -> dict:
    """The conversation with the rule's pairs: every emotional utterance is its own cause, and so is the previous
    utterance where another speaker said it."""
    utterances, triples = conversation["conversation"], []
    for position in emotional(conversation):
        u = utterances[position]
        triples.append((u["utterance_ID"], u["emotion"], u["utterance_ID"]))
        if position and utterances[position - 1]["speaker"] != u["speaker"]:
            triples.append((u["utterance_ID"], u["emotion"], utterances[position - 1]["utterance_ID"]))
    return with_pairs(conversation, triples)


# ---- the published recipe: one prompt an emotional utterance, the whole conversation in each --------------


def published_prompts(conversation: dict) -> list[tuple[str, str | None]]:
    """(prompt, completion) for every emotional utterance; completions only where the conversation has pairs."""
    gold = causes_of(conversation) if "emotion-cause_pairs" in conversation else None
    turns = "\n".join(
        f"utterance_id :: {u['utterance_ID']}, speaker :: {' '.join(u['speaker'].split())}, "
        f"emotion :: {u['emotion']}, text :: {' '.join(u['text'].split())}"
        for u in conversation["conversation"]
    )
    result = []
    for position in emotional(conversation):
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
