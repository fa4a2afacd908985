"""A page in the browser: a conversation in, its emotions with probabilities and arrows from their causes out; a line
edited, and what that changes.

    pip install gradio
    python -m utils.demo [--run NAME] [--port 7860]

The page is served to this machine alone and asks nobody else: no telemetry, no link to share, no font from elsewhere.
What is labelled is what `utils.predict` labels; the JSON to download is what it writes.
"""

import argparse
import base64
import difflib
import os
import re
import sys
from html import escape

from utils.data.conversations import Conversation, load_conversations, pairs, validate_conversations
from utils.data.given import is_json, utterance_in
from utils.data.labels import ECF, LabelSet
from utils.predict import Predictor
from utils.record.adapter import choose_adapters
from utils.system.command import add_adapters, command, positive
from utils.system.errors import ConversationError, UserError
from utils.system.files import parse_json, to_json
from utils.system.places import ROOT
from utils.tasks.emotion import line

SAMPLE = ROOT / "data" / "sample" / "unlabelled.json"


def to_lines(conversation: Conversation) -> str:
    """A conversation as the page's text: a line an utterance, `Speaker: text`."""
    return "\n".join(line(u) for u in conversation["conversation"])


def from_lines(text: str, loaded: Conversation | None = None) -> Conversation:
    """The conversation in the page's text: lines as `to_lines` writes them, or JSON, of which the first conversation is
    taken. Where it has as many lines as the conversation that was `loaded`, what else that one holds stays.

    Raises ConversationError for text that is no conversation, naming the line.
    """
    if re.search(r"[\ud800-\udfff]", text):
        raise ConversationError("the text holds half a character (a lone surrogate). Write the whole one, or remove it")
    # Unless the speaker of the first line that was loaded is called so.
    speaker = " ".join(loaded["conversation"][0]["speaker"].split()) if loaded else ""
    if is_json(text) and not (speaker and text.strip().startswith(f"{speaker}:")):
        data = parse_json(text, "the text")
        return validate_conversations(data if isinstance(data, list) else [data], "the text", labels=None)[0]
    lines = {number: one.strip() for number, one in enumerate(text.splitlines(), 1) if one.strip()}
    same = loaded if loaded is not None and len(loaded["conversation"]) == len(lines) else None
    old = same["conversation"] if same else [None] * len(lines)
    utterances = []
    for (number, one), before in zip(lines.items(), old):
        speaker, words = utterance_in(one, f"line {number}")
        if before and line(before) == one:  # a speaker's name may hold a colon
            utterances.append(before)
        else:
            number = before["utterance_ID"] if before else len(utterances) + 1
            utterances.append({**(before or {}), "utterance_ID": number, "text": words, "speaker": speaker})
    conversation = {**(same or {"conversation_ID": 1}), "conversation": utterances}
    return validate_conversations([conversation], "the text", labels=None)[0]


def result(predictor, conversation: Conversation) -> dict:
    """What `predictor` (utils.predict.Predictor) makes of one conversation: {"conversation": with labels, "emotions":
    utterances x 7, "causes": {utterance id: {candidate id: P}}}."""
    labelled, emotions, causes = predictor([conversation])
    return {"conversation": labelled[0], "emotions": emotions[0], "causes": causes[0]}


def causes_of(found: dict) -> list[list[int]]:
    """For each utterance the ids of its causes."""
    there = pairs(found["conversation"])
    return [
        [cause for number, _, cause in there if number == u["utterance_ID"]]
        for u in found["conversation"]["conversation"]
    ]


def changes(before: dict | None, after: dict, labels: LabelSet = ECF) -> dict[int, str]:
    """{position of a line: what is different there}, between two results. Lines are the same where their texts are, or
    where as many stand in the place of others."""
    if before is None:
        return {}
    texts = [[line(u) for u in one["conversation"]["conversation"]] for one in (before, after)]
    same = {}  # position after: position before
    for tag, i, j, k, m in difflib.SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if tag == "equal" or (tag == "replace" and j - i == m - k):
            same.update(zip(range(k, m), range(i, j)))
    ids = [[u["utterance_ID"] for u in one["conversation"]["conversation"]] for one in (before, after)]
    now = {ids[0][old]: ids[1][new] for new, old in same.items()}  # ids before, as they are after
    causes, said = [causes_of(before), causes_of(after)], {}
    for k, u in enumerate(after["conversation"]["conversation"]):
        if k not in same:
            said[k] = "new line"
            continue
        parts, i = [], same[k]
        old = before["conversation"]["conversation"][i]["emotion"]
        p, q = before["emotions"][i][labels.index(old)], after["emotions"][k][labels.index(u["emotion"])]
        if old != u["emotion"]:
            parts.append(f"{old} {p:.0%} is now {u['emotion']} {q:.0%}")
        elif abs(p - q) >= 0.005:
            parts.append(f"{old} {p:.0%} is now {q:.0%}")
        lost = sorted({now.get(c, 0) for c in causes[0][i]} - set(causes[1][k]) - {0})
        found = sorted(set(causes[1][k]) - {now.get(c) for c in causes[0][i]})
        parts += [f"no longer caused by {c}" for c in lost] + [f"caused by {c}" for c in found]
        if parts:
            said[k] = "; ".join(parts)
    return said


def render(found: dict, before: dict | None = None, labels: LabelSet = ECF) -> str:
    """A result as HTML: the picture, every probability, what changed since `before`, and the JSON as a link. All text
    that is not ours is escaped."""
    from utils.report.picture import draw_conversation
    from utils.report.plots import COLOURS, svg

    conversation, changed = found["conversation"], changes(before, found, labels)
    utterances = conversation["conversation"]
    likely = [table[labels.index(u["emotion"])] for u, table in zip(utterances, found["emotions"])]
    rows = []
    for k, (u, table, causes) in enumerate(zip(utterances, found["emotions"], causes_of(found))):
        cells = "".join(
            f'<td style="background:{COLOURS[label]}{round(255 * p):02x}"'
            f"{' class=label' if label == u['emotion'] else ''}>{p:.0%}</td>"
            for label, p in zip(labels, table)
        )
        there = found["causes"].get(u["utterance_ID"], {})
        caused = ", ".join(f"{c} ({there[c]:.0%})" if c in there else str(c) for c in causes)
        rows.append(
            f"<tr><th>{u['utterance_ID']}</th><td class=text>{escape(line(u))}</td>{cells}"
            f"<td>{caused}</td><td class=changed>{escape(changed.get(k, ''))}</td></tr>"
        )
    head = "".join(f"<th>{name}</th>" for name in ("", "utterance", *labels, "caused by", "changed"))
    data = base64.b64encode(to_json([conversation]).encode("utf-8")).decode("ascii")
    news = "" if before is None else f"<p id=news>{len(changed) or 'no'} line{'s' * (len(changed) != 1)} changed</p>"
    return (
        f"<div id=result>{svg(draw_conversation(conversation, probabilities=likely))}{news}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f'<p><a id=download download="conversation.json" href="data:application/json;base64,{data}">'
        "Download the JSON</a></p></div>"
    )


CSS = """
#result svg { max-width: 100%; height: auto; }
#result table { border-collapse: collapse; font-size: 0.8rem; margin-top: 1rem; }
#result th, #result td { padding: 2px 6px; text-align: right; border: 0; border-bottom: 1px solid #d0d7de; }
#result .text, #result .changed { text-align: left; }
#result .label { font-weight: bold; outline: 2px solid; outline-offset: -2px; }
#problem { color: #b00020; }
"""


def port(text: str) -> int:
    """A number from 1 to 65535. Raises argparse.ArgumentTypeError for other text."""
    if positive(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number from 1 to 65535")
    return int(text)


def build(predictor):
    """The page, a gradio.Blocks, around a utils.predict.Predictor."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    def problem(error):
        return f"<p id=problem>{escape(str(error))}</p>"

    def load(path):
        try:
            loaded = load_conversations(path, labels=None)
        except UserError as error:
            return [], gr.update(choices=[], value=None), gr.update(), problem(error)
        names = [(str(c["conversation_ID"]), k) for k, c in enumerate(loaded)]
        return loaded, gr.update(choices=names, value=0), to_lines(loaded[0]), ""

    def choose(loaded, number):
        return to_lines(loaded[number]) if loaded and number is not None else gr.update()

    def label(text, loaded, number, before):
        try:
            found = result(predictor, from_lines(text, loaded[number] if loaded and number is not None else None))
        except UserError as error:
            return problem(error), before
        return render(found, before, predictor.labels), found

    samples = load_conversations(SAMPLE)
    with gr.Blocks(title="Emotions and their causes", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        gr.Markdown(
            "# Emotions and their causes\nWrite or paste a conversation, a line an utterance, or load a file. "
            "Then change a line and label it again, to see what that changes."
        )
        loaded, before = gr.State(samples), gr.State(None)
        with gr.Row():
            text = gr.Textbox(
                to_lines(samples[0]),
                lines=10,
                max_lines=40,
                label="Speaker: text, or JSON",
                scale=3,
                elem_id="conversation",
            )
            with gr.Column():
                file = gr.File(label="A file of conversations", file_types=[".json"], type="filepath", elem_id="file")
                names = [(str(c["conversation_ID"]), k) for k, c in enumerate(samples)]
                number = gr.Dropdown(names, value=0, label="Conversation of the file", elem_id="number")
        button = gr.Button("Label", variant="primary", elem_id="label")
        shown = gr.HTML(elem_id="shown")
        file.upload(load, file, [loaded, number, text, shown], api_name=False)
        number.input(choose, [loaded, number], text, api_name=False)
        button.click(label, [text, loaded, number, before], [shown, before], api_name="label")
    return page


@command("utils.demo")
def main(argv=None) -> int:
    """Exit status 0 when the page is closed with Ctrl-C, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description="A page that labels conversations with emotions and their causes.")
    add_adapters(parser)
    parser.add_argument("--port", type=port, default=7860, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio as gr
    except ImportError:
        print("utils.demo: gradio is missing: pip install gradio", file=sys.stderr)
        return 2
    adapters = choose_adapters(arguments.emotion_adapter, arguments.cause_adapter, arguments.run)
    print(f"labelled by {adapters[0]} and {adapters[1]}", flush=True)
    page = build(Predictor(*adapters, arguments.max_row_tokens))
    address = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")  # this machine alone; a container sets another
    theme = gr.themes.Default(font=["sans-serif"], font_mono=["monospace"])  # others come from elsewhere
    page.launch(server_name=address, server_port=arguments.port, share=False, css=CSS, theme=theme)
    return 0


if __name__ == "__main__":
    sys.exit(main())
