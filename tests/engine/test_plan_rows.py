"""Rows are planned as by trying every open row for every tree, and in far less time.

python -m pytest tests/engine/test_plan_rows.py
"""

import random
import time

import pytest

from utils.engine.rows import plan_rows


def plain(lengths, budget):
    """Best fit, longest first: every open row is looked at, the fullest that has room is taken; of equally full ones
    the first."""
    rows = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        rooms = [(budget - sum(lengths[i] for i in row), number) for number, row in enumerate(rows)]
        fitting = [(room, number) for room, number in rooms if room >= lengths[index]]
        if fitting:
            rows[min(fitting)[1]].append(index)
        else:
            rows.append([index])
    return rows


@pytest.mark.parametrize("seed", range(40))
def test_the_plan_is_the_plain_one(seed):
    chance = random.Random(seed)
    budget, most = chance.choice([(1, 3), (10, 10), (64, 20), (256, 300), (100, 1)])
    lengths = [chance.randint(1, most) for _ in range(chance.randrange(80))]
    assert plan_rows(lengths, budget) == plain(lengths, budget)


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_lost_and_no_row_is_too_long(seed):
    chance = random.Random(seed)
    lengths, budget = [chance.randint(1, 500) for _ in range(2000)], 384
    rows = plan_rows(lengths, budget)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= budget or len(row) == 1 for row in rows)
    longest = sum(length for length in lengths if length <= budget) / budget
    assert len([row for row in rows if sum(lengths[i] for i in row) <= budget]) <= 1.1 * longest + 1, "rows are full"


def seconds(plan, lengths):
    """The shortest of three."""
    found = []
    for _ in range(3):
        begin = time.perf_counter()
        plan(lengths, 256)
        found.append(time.perf_counter() - begin)
    return min(found)


def test_time_does_not_grow_with_the_square():
    """20,000 lengths take less time than the plain plan takes for 1,000, a twentieth of them. A ratio, so that a slow
    machine changes nothing; the square would be 400 times as much."""
    chance = random.Random(0)
    many = [chance.randint(20, 300) for _ in range(20_000)]
    assert seconds(plan_rows, many) < seconds(plain, many[:1000])
