"""README and docs/: every table is made from the committed figures, and every link into the repository leads somewhere.

python -m pytest tests/repository/test_readme.py

A table stands between `<!-- FILE -->` and `<!-- end -->`; FILE is a record of benchmarks/results, or a run's folder.
"""

import json
import re

import pytest
from helpers import ROOT, shipped

from benchmarks.accuracy import leak, opinions_published, other_hands, untrained
from benchmarks.accuracy import wordings as wording_scores
from benchmarks.speed import __main__ as speed
from benchmarks.speed import equal_data, opinions, threads, wordings
from utils.report.tables import members_table, results_table, systems_table

PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for pattern in ("*.md", "docs/*.md", "notebooks/*.md", "benchmarks/*.md", "results_*/*.md", "data/**/*.md")
    for path in sorted(ROOT.glob(pattern))
}
README = PAGES["README.md"]
RECORDS = {
    "speed": speed.summary_table,
    "equal_data": equal_data.table,
    "ensemble": members_table,
    "encoder": systems_table,
    "untrained_test": untrained.table,
    "other_hands": other_hands.table,
    "leak": leak.table,
    "threads": threads.table,
    "wordings": wordings.table,
    "wording_scores": wording_scores.table,
    "opinions_speed": opinions.table,
    "opinions_published": opinions_published.table,
}


def marked(name):
    """[(page, table)] of every block of this name, in any page."""
    block = rf"<!-- {re.escape(name)} -->\n(.*?)\n<!-- end -->"
    return [(page, table) for page, text in PAGES.items() for table in re.findall(block, text, re.S)]


def read(path):
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_every_results_table_is_made_from_its_metrics():
    folders = {name for text in PAGES.values() for name in re.findall(r"<!-- (results_train/\S+) -->", text)}
    assert "results_train/smollm2-135m-ecf" in folders
    for folder in folders:
        for page, table in marked(folder):
            assert table == results_table(ROOT / folder), f"copy the output of results_table({folder!r}) into {page}"


@pytest.mark.parametrize("name", RECORDS)
def test_the_benchmarks_tables_are_made_from_their_figures(name):
    file, table = f"benchmarks/results/{name}.json", RECORDS[name]
    blocks = marked(file)
    assert blocks, f"no page has the table of {file}"
    for page, block in blocks:
        assert block == table(read(file)), f"copy the output of {table.__module__}.{table.__name__} into {page}"


def test_every_marked_table_is_checked_here():
    named = {name for text in PAGES.values() for name in re.findall(r"<!-- (benchmarks/\S+) -->", text)}
    assert named == {f"benchmarks/results/{name}.json" for name in RECORDS}
    for page, text in PAGES.items():
        ends = len(re.findall(r"^<!-- end -->$", text, re.M))
        assert ends == len(re.findall(r"^<!-- (?:summary: .+|(?:benchmarks|results_train)/\S+) -->$", text, re.M)), page


def test_the_summary_is_of_the_files_that_it_names():
    """The README's one table: weighted F1 of emotions and pairs, a line a system, of three files."""
    names, table = re.search(r"<!-- summary: (.+) -->\n(.*?)\n<!-- end -->", README, re.S).groups()
    run, beside, encoder = map(read, names.split())
    wanted = {
        name: (run["emotions"][one["emotions"]]["weighted_f1"], one["scores"]["weighted_f1"])
        for name, one in run["pairs"].items()
        if one["emotions"] in run["emotions"]
    }
    for name, record in (("with an encoder", beside), ("ensemble and encoders", encoder)):
        one = record["systems"]["both"]
        wanted[name] = one["emotions"]["weighted_f1"], one["pairs"]["weighted_f1"]
    table = re.sub(r"\[(.+?)\]\(.+?\)", r"\1", table)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert {name: (emotions, pairs) for name, emotions, pairs, *_ in rows} == {
        name: (f"{emotions:.3f}", f"{pairs:.3f}") for name, (emotions, pairs) in wanted.items()
    }


def test_the_readme_is_short():
    assert len(README) <= 10_000


# ---- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", PAGES[page], flags=re.S | re.M)
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text):
        file, _, heading = link.partition("#")
        there = (ROOT / page).parent / file if file else ROOT / page
        assert there.exists(), f"{page}: {link}"
        if heading:
            titles = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.M)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, f"{page}: {link}"


def test_every_promise_names_its_test():
    """A bullet of docs/guarantees.md links the tests that hold it, and every file of tests/promises is linked."""
    promises = re.split(r"^- ", PAGES["docs/guarantees.md"], flags=re.M)[1:]
    named = [set(re.findall(r"\]\(\.\./tests/([\w/]+\.py)\)", promise)) for promise in promises]
    assert not [promise for promise, tests in zip(promises, named) if not tests]
    files = {f"promises/{path.name}" for path in (ROOT / "tests" / "promises").glob("test_*.py")}
    assert files <= set().union(*named)


# ---- predictions that ship -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", shipped("results_t*/*/predictions.jsonl"), ids=lambda p: p.parent.name)
def test_committed_predictions_hold_labels_and_no_text(file):
    for line in file.read_text(encoding="utf-8").splitlines():
        assert set(json.loads(line)) == {
            "conversation_ID",
            "emotions",
            "emotion_probabilities",
            "emotion-cause_pairs",
            "cause_probabilities",
        }
