"""Causes as a list of ids: every list can be spelt, and the search finds the likeliest.

python -m pytest tests/tasks/test_cause_list.py
"""

import math
import random
from itertools import combinations

import pytest
from helpers import FIVE, conversation, questions

from utils.data.conversations import pairs, with_pairs
from utils.tasks import cause_list
from utils.tasks.candidates import candidates, emotional
from utils.tasks.cause_list import CauseList


@pytest.mark.parametrize("ids", [[4], [1, 2], [8, 9, 10, 11]])
def test_list_options_spell_every_list_exactly_once(ids):
    spelt, waiting = [], [()]
    while waiting:
        taken = waiting.pop()
        for option in cause_list.list_options(ids, taken):
            longer = taken + ((int(option[:-1]),) if option[:-1] else ())
            (spelt if option.endswith("]") else waiting).append(longer)
    assert sorted(spelt) == sorted(one for size in range(len(ids) + 1) for one in combinations(ids, size))


@pytest.mark.parametrize("seed", range(40))
def test_list_search_is_exact_whatever_the_scores(seed):
    """Random scores that sum to anything, of which some like lists to go on; test_parity.py has a model's."""
    rng, scores = random.Random(seed), {}
    search = cause_list.ListSearch(FIVE, width=rng.choice((1, 2, 8)))
    likes_more, spread = rng.choice((-1, 0, 2, 4)), rng.choice((0.3, 2))

    def score(position, taken):
        options = cause_list.list_options(candidates(FIVE, position), taken)
        if (position, taken) not in scores:
            scores[position, taken] = [
                rng.gauss(0, spread) - 30 + likes_more * option.endswith(",") for option in options
            ]
        return dict(zip(options, scores[position, taken]))

    rounds = 0
    while (tree := search.tree()) is not None:
        answers = []
        waiting = [(tree, None, ())]
        while waiting:  # what is asked is read off the tree, depth first, as a model would
            node, position, taken = waiting.pop()
            if node.text.endswith(" <= ["):
                position = int(node.text.split()[0].removeprefix("#")) - 1
            elif position is not None:
                taken += (int(node.text[:-1]),)
            if node.question:
                answers.append(score(position, taken))
                assert node.question.answers == tuple(answers[-1])
            waiting += [(child, position, taken) for child in reversed(node.children)]
        search.update([list(answer.values()) for answer in answers])
        rounds += 1

    wanted = []
    for position in emotional(FIVE):
        ids, u, lists = candidates(FIVE, position), FIVE["conversation"][position], {}
        for taken in (one for size in range(len(ids) + 1) for one in combinations(ids, size)):
            steps = [(taken[:i], f"{c}{']' if c == taken[-1] else ','}") for i, c in enumerate(taken)]
            lists[taken] = 1.0
            for before, option in steps or [((), "]")]:
                weights = {one: math.exp(value) for one, value in score(position, before).items()}
                lists[taken] *= weights[option] / sum(weights.values())
        assert sum(lists.values()) == pytest.approx(1), "the lists are all there are"
        wanted += [(u["utterance_ID"], u["emotion"], c) for c in max(lists, key=lists.get)]
    paired, table = search.read()
    assert pairs(paired) == sorted(wanted) and rounds <= 1 + 2**5
    assert list(table) == [1, 3, 4]
    assert all(0 <= p <= 1.000001 for one in table.values() for p in one.values())


def test_gold_lists_are_answered_step_by_step_among_the_options():
    gold = with_pairs(FIVE, [(1, "joy", 1), (3, "anger", 2), (3, "anger", 4), (3, "anger", 3)])
    asked = questions(CauseList().tree(gold, train=True))
    assert [question.gold for question in asked] == ["1]", "2,", "3,", "4]", "]"]
    assert all(question.gold in question.answers for question in asked)
    # Gold causes outside the window cannot be candidates; they are left out, and the rest stays answerable.
    far = with_pairs(conversation(["x"] * 12, ["neutral"] * 11 + ["joy"]), [(12, "joy", 1), (12, "joy", 12)])
    assert [question.gold for question in questions(CauseList().tree(far, train=True))] == ["12]"]
