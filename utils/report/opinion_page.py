"""What the page of utils/demo.py shows of texts with opinions, as HTML: a bar a topic, for each text and for all.

    html = render_opinions(labelled, tables, task, "labelled by ...")

A bar is the probability of each answer, from no opinion over the lowest score to the highest. All text that is not ours
is escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape

from utils.data.opinions import Text
from utils.data.topics import Topic
from utils.tasks.opinion import PARTS, Opinions, expectation, label_of, line

# Of the Okabe-Ito palette, and greys.
LOW, MIDDLE, HIGH, NONE = (0xD5, 0x5E, 0x00), (0xD9, 0xD9, 0xD9), (0x00, 0x72, 0xB2), "#9A9A9A"

CSS = """
#opinions table { border-collapse: collapse; width: 100%; font-size: 0.85rem; }
#opinions th, #opinions td { padding: 4px 8px; text-align: left; border: 0; border-bottom: 1px solid #d0d7de; }
#opinions .scroll { overflow-x: auto; }
#opinions .bar { display: flex; height: 14px; min-width: 120px; width: 100%; }
#opinions .bar span { height: 100%; }
#opinions .all td { font-weight: bold; }
#opinions .key { display: inline-block; width: 12px; height: 12px; margin: 0 4px 0 12px; }
"""


def shares(table: Mapping[str, list[float]], topic: Topic) -> dict[str, float]:
    """{answer: its share of a bar}, which sum to 1: the probabilities of the answers about a topic. A head's
    score has none: it is how far that stands between the lowest and the highest."""
    if len(score := table.get("score", [])) == 1:
        low, high = topic.scores[0], topic.scores[-1]
        place = min(max((score[0] - low) / (high - low), 0.0), 1.0)
        phrases = list(topic.phrases)
        found = {phrases[0]: 1 - place, phrases[-1]: place}
    else:
        parts = [part for part in table if part != "relevance"] or ["relevance"]
        found = dict(zip(PARTS[parts[0]].answers(topic), table[parts[0]], strict=True))
    if "relevance" in table and "score" in table:
        none, some = table["relevance"]
        found = {topic.no_opinion: none, **{answer: some * p for answer, p in found.items()}}
    return found


def colour(answer: str, topic: Topic) -> str:
    """Of an answer about a topic: grey without an opinion, else between orange, against, and blue, for."""
    if answer == topic.no_opinion:
        return NONE
    order = list(topic.phrases) if answer in topic.phrases else [topic.against, topic.favor]
    place = order.index(answer) / (len(order) - 1) if answer in order else 1.0
    ends, share = ((LOW, MIDDLE), 2 * place) if place < 0.5 else ((MIDDLE, HIGH), 2 * place - 1)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in zip(*ends))


def _bar(found: Mapping[str, float], topic: Topic) -> str:
    parts = "".join(
        f'<span style="width:{share:.2%};background:{colour(answer, topic)}" title="{escape(answer)}: {share:.0%}">'
        "</span>"
        for answer, share in found.items()
    )
    return f"<div class=bar>{parts}</div>"


def _said(opinion: Mapping, table: Mapping[str, list[float]], task: Opinions, topic: Topic) -> str:
    """An opinion in words: of a score the number too."""
    label = label_of(opinion, task.task_type, topic) or ""
    return f"{expectation(table['score'], topic):+.2f}" if "score" in opinion else label


def render_opinions(labelled: Sequence[Text], tables: Sequence[dict], task: Opinions, about: str = "") -> str:
    """Texts with their opinions as HTML.

    labelled, tables  as utils.tasks.ask.predict returns them; all texts are asked about the same topics
    about             who labelled them
    """
    topics = [task.topics[name] for name in labelled[0]["opinions"]]
    bars = [[shares(table[topic.name], topic) for topic in topics] for table in tables]
    head = "".join(f"<th>{escape(topic.name)}<br><small>{escape(topic.direction)}</small></th>" for topic in topics)
    rows = []
    for text, table, found in zip(labelled, tables, bars):
        cells = "".join(
            f"<td>{_bar(one, t)}{escape(_said(text['opinions'][t.name], table[t.name], task, t))}</td>"
            for one, t in zip(found, topics)
        )
        rows.append(f"<tr><td>{escape(line(text))}</td>{cells}</tr>")
    if len(labelled) > 1:
        means = [{a: sum(row[k][a] for row in bars) / len(bars) for a in bars[0][k]} for k in range(len(topics))]
        cells = "".join(f"<td>{_bar(one, topic)}</td>" for one, topic in zip(means, topics))
        rows.insert(0, f"<tr class=all><td>all {len(labelled)} texts</td>{cells}</tr>")
    first = topics[0]
    keys = "".join(
        f'<span class=key style="background:{colour(answer, first)}"></span>{escape(answer)}' for answer in bars[0][0]
    )
    return (
        f"<div id=opinions>{f'<p id=about>{escape(about)}</p>' if about else ''}<div class=scroll><table><thead><tr>"
        f"<th>text</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div><p>{keys}</p></div>"
    )
