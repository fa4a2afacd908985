"""The notebooks with each kind of targets, and with a corpus that has several labels an utterance.

python -m pytest tests/repository/test_targets.py
"""

from dataclasses import replace

import pytest
from helpers import repository, start, with_votes

from utils.data.labels import ECF
from utils.data.votes import several
from utils.record.verify import is_equal, verify
from utils.system.files import read_json, write_json

NO_CAUSES = {"multi": "a cause belongs to one emotion", "corpus": "notebooks 1 and 2 are all there is"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["votes", "multi", "corpus"])
def test_the_notebooks_run_on_every_kind_of_targets(tiny_model_folder, conversations, tmp_path, kind):
    voted = [with_votes(c) for c in conversations]
    mine = repository(tmp_path / "r", voted)
    if kind == "corpus":
        labels = replace(ECF, name="listed", multi=True)
        for split in ("train", "val", "test"):
            path = mine / "input" / split / "conversations.json"
            listed = [
                {
                    "conversation_ID": c["conversation_ID"],
                    "conversation": [{**u, "emotion": several(u, ECF)} for u in c["conversation"]],
                }
                for c in read_json(path)
            ]
            write_json(listed, path)
        write_json(labels.as_dict(), mine / "input" / "labels.json")
    parameters = {"model": tiny_model_folder, "targets": "votes" if kind == "votes" else "multi", "lora_r": 4}
    done = start(mine, {**parameters, "emotion_epochs": 2.0, "gradient_accumulation": 1}).wait(timeout=250)
    log = (mine / "chain.log").read_text()
    assert "done 2_emotion_inference" in log, log[-3000:]
    if kind == "votes":
        assert done == 0, log[-3000:]
    else:
        assert done and NO_CAUSES[kind] in log.splitlines()[-1], log[-3000:]

    run = mine / "results_train" / "sample"
    metrics = read_json(run / "metrics.json")["emotions"]
    verified = verify(run, mine)
    assert all(is_equal(*both) for both in verified.figures.values())
    thresholds = read_json(run / "adapters" / "emotion" / "training.json").get("thresholds", {})
    assert verified.thresholds == thresholds and bool(thresholds) == (kind != "votes")
    assert metrics["fine-tuned"]["multi"]["interval_95"].keys() >= {"jaccard", "lrap"}
    found = read_json(run / "emotion_labelled_data.json")
    assert {*metrics} == {"majority", "zero-shot", "fine-tuned"} and all("multi" in one for one in metrics.values())
    assert "lrap" in metrics["majority"]["multi"] and "kl" in metrics["zero-shot"]["votes"]
    named = [u["emotion"] for c in found for u in c["conversation"]]
    assert all(isinstance(one, str if kind == "votes" else list) for one in named)
