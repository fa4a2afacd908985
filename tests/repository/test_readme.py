"""The README: its results table is the committed metrics', and every link into the repository leads somewhere."""

import json
import re

import pytest
from helpers import ROOT

from benchmarks.accuracy import untrained
from benchmarks.speed import __main__ as speed
from benchmarks.speed import equal_data
from utils.record.stages import NOTEBOOKS
from utils.report.tables import members_table, results_table, systems_table

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_results_table_is_made_from_its_metrics():
    blocks = re.findall(r"<!-- (results_train/\S+) -->\n(.*?)\n<!-- end -->", README, re.S)
    assert blocks
    for folder, table in blocks:
        assert table == results_table(ROOT / folder), f"copy the output of results_table({folder!r}) into the README"


@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("speed.json", speed.summary_table),
        ("equal_data.json", equal_data.table),
        ("ensemble.json", members_table),
        ("encoder.json", systems_table),
        ("untrained_test.json", untrained.table),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_the_benchmarks_tables_are_made_from_their_figures(file, table):
    texts = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")))
    block = re.search(rf"<!-- benchmarks/(?:results/)?{file} -->\n(.*?)\n<!-- end -->", texts, re.S)[1]
    figures = json.loads((ROOT / "benchmarks" / "results" / file).read_text(encoding="utf-8"))
    assert block == table(figures), f"copy the output of {table.__module__}.{table.__name__} into the README"


def test_links_lead_somewhere():
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_badges_point_at_the_repositorys_address():
    address = re.search(r'Repository = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[1]
    path = address.removeprefix("https://github.com/")
    for name in NOTEBOOKS:
        assert f"https://colab.research.google.com/github/{path}/blob/main/notebooks/{name}.ipynb" in README
        assert f"https://kaggle.com/kernels/welcome?src={address}/blob/main/notebooks/{name}.ipynb" in README
    others = set(re.findall(r"github\.com/([\w.-]+/[\w.-]+)|com/github/([\w.-]+/[\w.-]+)", README))
    assert {one or other for one, other in others} == {path}


@pytest.mark.parametrize("file", sorted(ROOT.glob("results_t*/*/predictions.jsonl")), ids=lambda p: p.parent.name)
def test_committed_predictions_hold_labels_and_no_text(file):
    for line in file.read_text(encoding="utf-8").splitlines():
        assert set(json.loads(line)) == {
            "conversation_ID",
            "emotions",
            "emotion_probabilities",
            "emotion-cause_pairs",
            "cause_probabilities",
        }
