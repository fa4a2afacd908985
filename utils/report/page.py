"""What the page of utils/demo.py shows of a result, as HTML: the picture, every probability, what changed, and gold.

`found`, a result, is {"conversation": with labels, "emotions": utterances x labels, "causes": {utterance id: {candidate
id: P}}, or None where no cause was asked for}. All text that is not ours is escaped.
"""

import base64
import difflib
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from utils.data.conversations import Conversation, Utterance, emotions_of, is_emotional, pairs
from utils.data.labels import ECF, LabelSet
from utils.data.votes import several, votes_of
from utils.report.colours import colours
from utils.report.picture import draw_conversation
from utils.report.plots import svg
from utils.system.errors import UserError
from utils.system.files import to_json
from utils.tasks.emotion import line

POINTS = 0.05  # a probability that moves less than five points has not changed
WIDE, NARROW = 900, 330  # points: for a desk, for a phone

CSS = """
#result svg { width: 100%; height: auto; }
#result .wide svg { max-width: 1200px; }
#result .narrow { display: none; }
#result table { border-collapse: collapse; font-size: 0.8rem; margin-top: 1rem; width: 100%; }
#result .scroll { overflow-x: auto; }
#result th, #result td { padding: 2px 6px; text-align: right; border: 0; border-bottom: 1px solid #d0d7de; }
#result .text, #result .causes, #result .changed, #result .gold { text-align: left; }
#result .gold { white-space: nowrap; }
#result .label { font-weight: bold; outline: 2px solid; outline-offset: -2px; }
#result .weak { color: #6e7781; font-style: italic; }
#result .clip { width: 260px; height: 120px; }
#about { color: #6e7781; font-size: 0.85rem; }
#problem { color: #b00020; }
@media (max-width: 700px) {
  #result .wide, #result thead { display: none; }
  #result .narrow { display: block; }
  #result tr { display: block; border-bottom: 1px solid #d0d7de; padding: 6px 0; }
  #result th, #result td { display: inline-block; border: 0; }
  #result .text, #result .causes, #result .changed, #result .gold { display: block; }
  #result td[data-label]:not(:empty)::before { content: attr(data-label) " "; font-weight: normal; }
}
"""


def problem(error: UserError) -> str:
    """A message as HTML."""
    return f"<p id=problem>{escape(str(error))}</p>"


def causes_of(found: dict, labels: LabelSet = ECF) -> list[list[int]]:
    """For each utterance the ids of its causes."""
    there = pairs(found["conversation"], labels)
    return [
        sorted({cause for number, _, cause in there if number == u["utterance_ID"]})
        for u in found["conversation"]["conversation"]
    ]


def likeliest(found: dict, labels: LabelSet = ECF) -> dict[int, tuple[int, float]]:
    """{utterance id: (candidate id, P)}: the likeliest cause of each utterance whose emotion has none that reached the
    threshold, where candidates have probabilities."""
    asked = found["causes"] or {}
    rows = zip(found["conversation"]["conversation"], causes_of(found, labels))
    without = [u["utterance_ID"] for u, causes in rows if is_emotional(u, labels) and not causes]
    return {i: max(asked[i].items(), key=lambda one: one[1]) for i in without if asked.get(i)}


def _named(u, table, labels: LabelSet) -> list[tuple[str, float]]:
    return [(label, table[labels.index(label)]) for label in emotions_of(u)]


def _said(named) -> str:
    return ", ".join(f"{label} {p:.0%}" for label, p in named)


def changes(before: dict | None, after: dict, labels: LabelSet = ECF) -> dict[int, str]:
    """{position of a line: what is different there}, between two results: another label, a probability that moved by
    POINTS or more, another cause. Lines are the same where their texts are, or where as many stand in the place of
    others."""
    if before is None:
        return {}
    texts = [[line(u) for u in one["conversation"]["conversation"]] for one in (before, after)]
    same = {}  # position after: position before
    for tag, i, j, k, m in difflib.SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if tag == "equal" or (tag == "replace" and j - i == m - k):
            same.update(zip(range(k, m), range(i, j)))
    ids = [[u["utterance_ID"] for u in one["conversation"]["conversation"]] for one in (before, after)]
    now = {ids[0][old]: ids[1][new] for new, old in same.items()}  # ids before, as they are after
    causes, said = [causes_of(before, labels), causes_of(after, labels)], {}
    for k, u in enumerate(after["conversation"]["conversation"]):
        if k not in same:
            said[k] = "new line"
            continue
        parts, i = [], same[k]
        old = _named(before["conversation"]["conversation"][i], before["emotions"][i], labels)
        new = _named(u, after["emotions"][k], labels)
        if [label for label, _ in old] != [label for label, _ in new]:
            parts.append(f"{_said(old)} is now {_said(new)}")
        elif any(round(abs(p - q), 9) >= POINTS for (_, p), (_, q) in zip(old, new)):
            parts.append(f"{_said(old)} is now {_said(new) if len(new) > 1 else f'{new[0][1]:.0%}'}")
        lost = sorted({now.get(c, 0) for c in causes[0][i]} - set(causes[1][k]) - {0})
        gained = sorted(set(causes[1][k]) - {now.get(c) for c in causes[0][i]})
        parts += [f"no longer caused by {c}" for c in lost] + [f"caused by {c}" for c in gained]
        if parts:
            said[k] = "; ".join(parts)
    return said


def as_named(gold: Conversation, named: Conversation, labels: LabelSet = ECF) -> Conversation:
    """`gold` with the labels that those of `named` can be compared with: where an utterance of that has a list of
    labels, those of utils.data.votes.several."""
    utterances: Any = [
        {**true, "emotion": several(true, labels)} if isinstance(u.get("emotion"), list) else true
        for true, u in zip(gold["conversation"], named["conversation"], strict=True)
    ]
    return {**gold, "conversation": utterances}


def compared(found: dict, gold: Conversation, labels: LabelSet = ECF) -> str:
    """How many emotions, and which pairs, are as in the file that was loaded."""
    rows = list(zip(gold["conversation"], found["conversation"]["conversation"]))
    asked = [(true, u) for true, u in rows if emotions_of(true)]
    right = sum({*emotions_of(true)} == {*emotions_of(u)} for true, u in asked)
    text = f"{right} of {len(asked)} emotions are as in the file"
    if found["causes"] is None or "emotion-cause_pairs" not in gold:
        return text
    true, guessed = {*pairs(gold, labels)}, {*pairs(found["conversation"], labels)}
    return f"{text}; of its {len(true)} pairs {len(true & guessed)} are found, and {len(guessed - true)} more are named"


def render(
    found: dict,
    before: dict | None = None,
    labels: LabelSet = ECF,
    gold: Conversation | None = None,
    about: str = "",
    clips: Mapping[str, str] | None = None,
) -> str:
    """A result as HTML, and the JSON as a link. before: the result that it is compared with. gold: the same
    conversation with its gold labels, and maybe votes. about: who labelled it. clips: {video_name without its ending:
    the address of its file}, played beside the lines of these utterances."""
    conversation, changed, palette = found["conversation"], changes(before, found, labels), colours(labels)
    gold = gold and as_named(gold, conversation, labels)
    utterances, weak = conversation["conversation"], likeliest(found, labels)
    head = ["", "utterance", *labels, *(["caused by (probability)"] if found["causes"] is not None else [])]
    head += ["changed"] * (before is not None) + ["gold"] * bool(gold)
    rows = []
    for k, (u, table, causes) in enumerate(zip(utterances, found["emotions"], causes_of(found, labels))):
        cells = "".join(
            f'<td data-label="{escape(label)}" style="background:{palette[label]}{round(255 * p):02x}"'
            f"{' class=label' if label in emotions_of(u) else ''}>{p:.0%}</td>"
            for label, p in zip(labels, table)
        )
        if found["causes"] is not None:
            cells += f'<td class=causes data-label="caused by">{_causes(u, found, causes, weak, labels)}</td>'
        if before is not None:
            cells += f'<td class=changed data-label="changed:">{escape(changed.get(k, ""))}</td>'
        if gold:
            cells += f'<td class=gold data-label="gold:">{_gold(gold["conversation"][k], u, labels)}</td>'
        said = escape(line(u)) + _player(u, clips or {})
        rows.append(f"<tr><th>{u['utterance_ID']}</th><td class=text>{said}</td>{cells}</tr>")
    # Of several labels the picture writes the first.
    likely = [next((p for _, p in _named(*both, labels)), 0) for both in zip(utterances, found["emotions"])]
    drawn = {"title": "", "probabilities": likely, "labels": labels, "gold": gold}
    drawn["weak"] = [(number, cause) for number, (cause, _) in weak.items()]
    pictures = "".join(
        f"<div class={name}>{svg(draw_conversation(conversation, width=width, **drawn), name)}</div>"
        for name, width in (("wide", WIDE), ("narrow", NARROW))
    )
    what = f"the answers of {len(changed)} line{'s' * (len(changed) != 1)}" if changed else "no answer"
    news = "" if before is None else f"<p id=news>{what} changed (by five points, or a label)</p>"
    news += f"<p id=compared>{compared(found, gold, labels)}</p>" if gold else ""
    data = base64.b64encode(to_json([conversation]).encode("utf-8")).decode("ascii")
    return (
        f"<div id=result>{f'<p id=about>{escape(about)}</p>' if about else ''}{pictures}{news}"
        f"<div class=scroll><table><thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f'<p><a id=download download="conversation.json" href="data:application/json;base64,{data}">'
        "Download the JSON</a></p></div>"
    )


def _player(u: Utterance, clips: Mapping[str, str]) -> str:
    """What plays an utterance's clip; "" where there is none. A browser's video element plays sound as well."""
    name = u.get("video_name") or ""
    address = clips.get(name, clips.get(Path(name).stem))
    return f'<br><video class=clip controls preload=none src="{escape(address)}"></video>' if address else ""


def _gold(true: Utterance, u: Utterance, labels: LabelSet) -> str:
    """The cell of an utterance's gold labels, behind a cross where the result has others, and of its votes."""
    carried, votes = emotions_of(true), votes_of(true, labels)
    mark = "✗ " if carried and {*carried} != {*emotions_of(u)} else ""
    counts = ", ".join(f"{label} {count:g}" for label, count in sorted(votes.items(), key=lambda one: -one[1]))
    return mark + escape(", ".join(carried) + f" (votes: {counts})" * bool(votes))


def _causes(u, found: dict, causes: list[int], weak: dict, labels: LabelSet) -> str:
    """The cell of an utterance's causes. One without an emotion has none and is asked nothing; one with an emotion and
    no cause says so, and which candidate came nearest."""
    number = u["utterance_ID"]
    there = (found["causes"] or {}).get(number, {})
    if causes:
        return ", ".join(f"{c} ({there[c]:.0%})" if c in there else str(c) for c in causes)
    if number in weak:
        cause, p = weak[number]
        return f"<span class=weak>below the threshold; likeliest: {cause}, {p:.0%}</span>"
    return "<span class=weak>no cause</span>" if is_emotional(u, labels) else ""
