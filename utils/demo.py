"""A page in the browser: a conversation, its emotions and their causes; and what texts think of topics.

A conversation goes in, its emotions with probabilities and arrows from their causes come out; a line is edited, and the
page shows what that changes. On the other tab texts go in.

    pip install -c constraints.txt gradio
    python -m utils.demo [--run NAME] [--features DIR] [--clips FOLDER] [--opinion-adapter DIR] [--port 7860]
    python -m utils.demo --task instruction [--run NAME]      # another page: utils/record/instruction_page.py

The page is served to this machine alone and asks nobody else: no telemetry, no link to share, no font from elsewhere.
What is labelled is what `utils.predict` labels; the JSON to download is what it writes.
"""

import argparse
import functools
import importlib.util
import os
import re
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from utils.data.clips import SOUND, clips_in
from utils.data.conversations import Conversation, emotions_of, load_conversations, validate_conversations
from utils.data.given import is_json, talks_in, utterance_in
from utils.data.labels import LabelSet
from utils.data.opinion_rows import read_asked
from utils.data.topics import Topic, topic_names
from utils.data.votes import several
from utils.predict import OpinionPredict, Predictor
from utils.record import instruction_page
from utils.record.adapter import choose_adapters, configs_of, said_of
from utils.record.instruction_predict import InstructionPredict
from utils.record.labelled import absent_streams
from utils.record.opinion_predict import opinions_asked
from utils.record.predictions import run_folder
from utils.report.opinion_page import CSS as OPINION_CSS
from utils.report.opinion_page import render_opinions
from utils.report.page import CSS, problem, render
from utils.system.command import add_adapters, add_run, command, positive
from utils.system.errors import ConversationError, OpinionError, PlaceError, UserError
from utils.system.files import parse_json
from utils.system.places import ROOT
from utils.tasks.emotion import line
from utils.tasks.opinion import line as line_of_text

SAMPLE = ROOT / "data" / "sample" / "unlabelled.json"
TITLE = "Emotions and their causes"
OPINION, OPINION_ON = "We should build it: half the town would come.", ("new-stadium",)
UNTRAINED = "regression"  # what an untrained model is asked: it holds hardly any text for an opinion


def to_lines(conversation: Conversation) -> str:
    """A conversation as the page's text: a line an utterance, `Speaker: text`."""
    return "\n".join(line(u) for u in conversation["conversation"])


def from_lines(text: str, loaded: Conversation | None = None) -> Conversation:
    """The conversation in the page's text: lines as `to_lines` writes them, or JSON, of which the first conversation is
    taken. Where it has as many lines as the conversation that was `loaded`, what else that one holds stays.

    Raises ConversationError for text that is no conversation, or has another one behind an empty line, naming the line.
    """
    if not text.strip():
        raise ConversationError("there is no conversation yet. Write one, a line an utterance, as Speaker: text")
    if re.search(r"[\ud800-\udfff]", text):
        raise ConversationError("the text holds half a character (a lone surrogate). Write the whole one, or remove it")
    # Unless the speaker of the first line that was loaded is called so.
    speaker = " ".join(loaded["conversation"][0]["speaker"].split()) if loaded else ""
    if is_json(text) and not (speaker and text.strip().startswith(f"{speaker}:")):
        data = parse_json(text, "the text")
        return validate_conversations(data if isinstance(data, list) else [data], "the text", labels=None)[0]
    talk, *others = talks_in(text)
    if others:
        says = "an empty line ends a conversation, and here one is taken. Remove it, or label a file by utils.predict"
        raise ConversationError(f"line {others[0][0][0]}: {says}")
    lines = dict(talk)
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
    utterances x labels, "causes": {utterance id: {candidate id: P}}, or None without a cause adapter}."""
    labelled, emotions, causes = predictor([conversation])
    return {
        "conversation": labelled[0],
        "emotions": emotions[0],
        "causes": causes[0] if "cause" in predictor.tasks else None,
    }


def gold_of(text: str, loaded: Conversation | None, labels: LabelSet) -> Conversation | None:
    """The conversation that was loaded, where the page's text is its text and it carries labels of this label set: what
    the result is compared with."""
    if loaded is None or text.strip() != to_lines(loaded).strip():
        return None
    named = [label for u in loaded["conversation"] for label in (*emotions_of(u), *several(u, labels))]
    return loaded if named and {*named} <= {*labels} else None


def is_edit(text: str, loaded: Conversation) -> bool:
    """Whether the page's text has a line of the conversation that was loaded."""
    return bool({one.strip() for one in text.splitlines()} & {line(u) for u in loaded["conversation"]})


def port(text: str) -> int:
    """A number from 1 to 65535. Raises argparse.ArgumentTypeError for other text."""
    if positive(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number from 1 to 65535")
    return int(text)


def check_port(address: str, number: int) -> None:
    """Raises PlaceError where this port is taken: asked before a model is loaded."""
    try:
        with socket.create_server((address, number)):
            pass
    except OSError as error:
        raise PlaceError(f"port {number} of {address} cannot be had ({error.strerror}): give another --port") from error


def build(predictor, about: str = "", opinions: "Asker | None" = None, clips: dict[str, Path] | None = None):
    """The page, a gradio.Blocks, around a utils.predict.Predictor. about: who labels, for the page to say. opinions:
    who answers on the other tab. clips: {video_name without its ending: the file that its line plays}."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    addresses = {name: f"/gradio_api/file={quote(str(path))}" for name, path in (clips or {}).items()}

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
        chosen = loaded[number] if loaded and number is not None else None
        if chosen and not is_edit(text, chosen):  # it is another conversation, whose name is not the chosen one's
            chosen = number = None
        try:
            found = result(predictor, from_lines(text, chosen))
        except UserError as error:
            return problem(error), before, number
        gold = gold_of(text, chosen, predictor.labels)
        return render(found, before, predictor.labels, gold, about, addresses), found, number

    samples = load_conversations(SAMPLE)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600), fill_width=True) as page:
        with gr.Tab(TITLE):
            gr.Markdown(
                f"# {TITLE}\nWrite or paste one conversation, a line an utterance, or load a file. Then change a line "
                "and label it again, to see what that changes. A file with labels is compared with them."
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
                    file = gr.File(
                        label="A file of conversations", file_types=[".json"], type="filepath", elem_id="file"
                    )
                    names = [(str(c["conversation_ID"]), k) for k, c in enumerate(samples)]
                    number = gr.Dropdown(names, value=0, label="Conversation of the file", elem_id="number")
            button = gr.Button("Label", variant="primary", elem_id="label")
            shown = gr.HTML(elem_id="shown")
            file.upload(load, file, [loaded, number, text, shown], api_name=False)
            number.input(choose, [loaded, number], text, api_name=False)
            button.click(label, [text, loaded, number, before], [shown, before, number], api_name="label")
        with gr.Tab("Opinions"):
            add_opinions(gr, opinions or Asker())
    return page


class Asker:
    """Who answers on the tab of opinions, loaded at the first question: most who open the page never ask one."""

    def __init__(self, adapter: str | None = None):
        """adapter: the folder of one that was trained on opinions; None: the embedded model answers, untrained, about
        the topics that ship. Raises what OpinionPredict raises for an adapter that cannot be used."""
        ready = [name for name in topic_names() if not Topic.read(name).is_for_all]
        self.how: dict = {"model_path": adapter} if adapter else {"task_type": UNTRAINED, "topic": ready}
        self.task = opinions_asked(self.how.get("task_type"), adapter, None, self.how.get("topic"))
        self.about = f"labelled by {adapter or 'the embedded model, which was not trained for this'}"

    @functools.cached_property
    def predictor(self) -> OpinionPredict:
        return OpinionPredict(**self.how)

    def __call__(self, text: str, topics: list[str]) -> str:
        """What the lines of `text` think of these topics, as HTML. Raises OpinionError for what cannot be asked."""
        lines = [one.strip() for one in text.splitlines() if one.strip()]
        if not lines or not topics:
            raise OpinionError("write a text, a line each" if not lines else "tick a topic")
        answers = self.predictor.answers(self.predictor.asked(lines, topics))
        return render_opinions(*answers, self.task, self.about)


def add_opinions(gr, asker: Asker) -> None:
    """The tab of opinions: texts in a box or a file, topics to tick, a bar a topic."""

    def load(path):
        try:
            texts = read_asked(Path(path), list(asker.task.topics.values())).texts
        except UserError as error:
            return gr.update(), problem(error)
        return "\n".join(line_of_text(text) for text in texts), ""

    def label(text, topics):
        try:
            return asker(text, topics)
        except UserError as error:
            return problem(error)

    names = list(asker.task.topics)
    gr.Markdown("# Opinions\nWrite texts, a line each, or load a table with a column `text`. Tick what they may be on.")
    with gr.Row():
        text = gr.Textbox(OPINION, lines=6, max_lines=40, label="A text a line", scale=3, elem_id="texts")
        file = gr.File(
            label="A table of texts", file_types=[".csv", ".tsv", ".json", ".jsonl"], type="filepath", elem_id="table"
        )
    ticked = gr.CheckboxGroup(names, value=[name for name in names if name in OPINION_ON] or names, label="Topics")
    button = gr.Button("Label", variant="primary", elem_id="label-texts")
    shown = gr.HTML(elem_id="shown-opinions")
    file.upload(load, file, [text, shown], api_name=False)
    button.click(label, [text, ticked], shown, api_name="opinions")


def playable(folder: Path) -> dict[str, Path]:
    """{name without its ending: file} of the clips in a folder; a link that leaves it is none. Raises FileError for a
    folder without clips, and for two of one name."""
    found = {name: path.resolve() for name, path in clips_in(folder, SOUND).items()}
    return {name: path for name, path in found.items() if path.parent == folder.resolve()}


def serve(page, css: str, address: str, number: int, files: Iterable[Path] = ()) -> None:
    """Serves a page, and these files, until Ctrl-C."""
    import gradio as gr

    theme = gr.themes.Default(font=["sans-serif"], font_mono=["monospace"])  # others come from elsewhere
    # quiet: Gradio would advise an option of `launch`, which nobody can give here.
    how: dict = {"share": False, "css": css, "theme": theme, "quiet": True, "prevent_thread_lock": True}
    how["allowed_paths"] = [*map(str, files)]
    page.launch(server_name=address, server_port=number, **how)
    print(f"the page is at http://{address}:{number}; Ctrl-C closes it", flush=True)
    page.block_thread()


def add_page(parser: argparse.ArgumentParser) -> None:
    """The argument of every page."""
    parser.add_argument("--port", type=port, default=7860, help="default: %(default)s")


def address_of(number: int) -> str:
    """Where a page is served: to this machine alone, unless a container sets another address. Raises PlaceError where
    gradio is missing or the port is taken."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    if importlib.util.find_spec("gradio") is None:
        raise PlaceError("gradio is missing: pip install -c constraints.txt gradio")
    check_port(address := os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), number)
    return address


def of_conversations(argv: list[str]) -> None:
    """The page of conversations and of opinions. argv: without --task."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.demo",
        description="A page that labels conversations with emotions and their causes.",
        epilog="Instructions: --task instruction.",
    )
    add_adapters(parser)
    parser.add_argument("--features", metavar="DIR", help="where the streams are that the adapters read")
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="sound or film by video_name, played on the page")
    parser.add_argument("--opinion-adapter", metavar="DIR", help="default: none, the embedded model answers untrained")
    add_page(parser)
    arguments = parser.parse_args(argv)
    address = address_of(arguments.port)
    adapters = choose_adapters(arguments.emotion_adapter, arguments.cause_adapter, arguments.run)
    about = said_of(adapters).replace(f"{ROOT}{os.sep}", "")  # short: the page shows it
    clips = playable(arguments.clips) if arguments.clips else {}
    absent = absent_streams(configs_of(adapters).values(), arguments.features)
    opinions = Asker(arguments.opinion_adapter)
    print(about, *filter(None, [absent]), sep="\n", flush=True)
    predictor = Predictor(*adapters, arguments.max_row_tokens, features=arguments.features)
    page = build(predictor, f"{about}, on {Path(predictor.configs['emotion'].model).name}", opinions, clips)
    serve(page, CSS + OPINION_CSS, address, arguments.port, clips.values())


def of_instructions(argv: list[str]) -> None:
    """The page of instructions. argv: without --task."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.demo --task instruction",
        description="A page that answers instructions: the base model, and beside it an adapter. docs/instructions.md.",
    )
    which = parser.add_mutually_exclusive_group()
    add_run(which, "none, and the base model answers alone")
    which.add_argument("--adapter", metavar="DIR", help="the folder of an adapter, in place of a run")
    parser.add_argument("--base-model", metavar="MODEL", help="default: the adapter's, or the embedded one")
    parser.add_argument("--features", metavar="DIR", help="where the streams are that the adapter reads")
    parser.add_argument("--load-8bit", action="store_true", help="the base model in 8 bits, on an NVIDIA card")
    add_page(parser)
    arguments = parser.parse_args(argv)
    address, adapter = address_of(arguments.port), arguments.adapter
    if arguments.run:
        adapter = run_folder(arguments.run) / "adapters" / "instruction"
    model = InstructionPredict(adapter, arguments.base_model, arguments.load_8bit, arguments.features)
    absent = absent_streams([model.config], arguments.features)
    print(model.about, *filter(None, [absent]), sep="\n", flush=True)
    serve(instruction_page.build(model), "", address, arguments.port)


PAGES = {"emotion": of_conversations, "instruction": of_instructions}


@command("utils.demo")
def main(argv=None) -> int:
    """Exit status 0 when the page is closed with Ctrl-C, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m utils.demo", add_help=False, allow_abbrev=False)
    parser.add_argument("--task", choices=tuple(PAGES), default="emotion")
    chosen, others = parser.parse_known_args(argv)
    PAGES[chosen.task](others)
    return 0


if __name__ == "__main__":
    sys.exit(main())
