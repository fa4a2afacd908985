"""Instructions about pictures: from files through CLIP to a run that sees them, another file, and the page.

python -m pytest tests/record/test_pictures.py
"""

import json
import shutil

import numpy as np
import pytest
from helpers import called
from made_clips import plain, save_clip, write_picture

from utils import features, predict
from utils.config import Config
from utils.data.features import fingerprint
from utils.data.instruction_input import make_input
from utils.engine.settings import Writing
from utils.models.load import load_model
from utils.models.projector import read_projector
from utils.record import instruction_page
from utils.record.card_use import one_answer
from utils.record.fit import fit
from utils.record.instruction_predict import BASE, TUNED, InstructionPredict
from utils.record.run import Run
from utils.system.errors import ConfigError, FileError, InstructionError, ModelError
from utils.system.files import read_json, write_json, write_set
from utils.tasks.instruction_scores import choices

pytest.importorskip("av")
COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)}
SHADES = range(0, 90, 10)  # of which every third is held out
HOW = Writing(new_tokens=8)


def asked(shades):
    """Examples whose words say nothing: the picture alone tells the answer."""
    return [
        {"instruction": "Which colour?", "image": f"pictures/{name}{shade}.png", "output": name}
        for shade in shades
        for name in COLOURS
    ]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Where data of pictures are an input, and the stream `clip` of a tiny random CLIP is beside it."""
    root = tmp_path_factory.mktemp("root")
    data = root / "mine"
    (data / "pictures").mkdir(parents=True)
    for shade in SHADES:
        for name, colour in COLOURS.items():
            write_picture(data / "pictures" / f"{name}{shade}.png", plain(*(min(c + shade, 255) for c in colour)))
    write_json(asked([k for k in SHADES if k % 30]), data / "train.json")
    for split in ("val", "test"):
        write_json(asked([k for k in SHADES if not k % 30]), data / f"{split}.json")
    made = make_input(data)
    assert made.parts["val"] == [], "a picture stands in one split alone"
    write_set(root / "input", made.files)
    given = data / "pictures", "--out", root / "input" / "features", "--streams", "clip", "--jobs", 1
    assert called(features.main, *given, "--model", save_clip(root / "clip"))[0] == 0
    return root


def opened(root, folder, notebook="instruction_training", **more):
    given = {"run_name": "seen", "model": folder, "input_dir": "input", "precision": "float32", "streams": "clip"}
    given |= {"template": "alpaca_short", "instruction_learning_rate": 3e-3, "instruction_epochs": 40.0, "lora_r": 4}
    given |= {"gradient_accumulation": 1, "quantization": "none", **more}
    return Run(Config.of(given), notebook, ["model", "streams"], root=root)


@pytest.fixture(scope="module")
def run(root, tiny_model_folder):
    run = opened(root, tiny_model_folder)
    train = run.examples("train", labelled=True)
    fit(run, run.task("instruction"), *load_model(tiny_model_folder, precision="float32"), train)
    return run


@pytest.fixture(scope="module")
def model(run, root):
    return InstructionPredict(run.adapter("instruction"), features=root / "input" / "features")


def right(tables, examples):
    return sum(table[one["output"]] for table, one in zip(tables, examples, strict=True)) / len(examples)


def test_what_pictures_show_is_learnt_and_missed_where_they_are_gone(run, model, root):
    test = run.examples("test", labelled=True)
    assert len(test) == 9 and all("choices" in one for one in test), "a classification, as any other"
    seen = [one.choices for one in model.scored(test, 2)[TUNED]]
    blind = [one.choices for one in InstructionPredict(run.adapter("instruction")).scored(test, 2)[TUNED]]
    assert right(seen, test) > 0.6 and right(blind, test) < 0.4
    with model._answering(TUNED) as (tuned, tokenizer):
        in_run = choices(run.task("instruction"), tuned, tokenizer, test, run.config.inference())
    assert [one == pytest.approx(other, abs=1e-4) for one, other in zip(in_run, seen)] == [True] * len(test)


def test_the_run_records_its_stream_and_lends_it_to_no_other_program(run, root):
    features = root / "input" / "features"
    record = read_json(run.train_dir / "config.json")["instruction_training"]
    assert record["features"] == {"clip": fingerprint(features, "clip")}
    assert read_projector(run.adapter("instruction")).names == ["clip"]
    assert one_answer(run.task("instruction"), run.config, None) is None


def test_another_file_is_answered_by_what_its_pictures_show(run, root, tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    rows = [*asked([0, 30]), {"instruction": "Which colour?", "output": "red"}, {**asked([0])[0], "image": ""}]
    tasks.write_text("".join(json.dumps(one) + "\n" for one in rows))
    given = "--task", "instruction", tasks, "--adapter", run.adapter("instruction"), "--new-tokens", 4, "--score"
    results = {}
    for name, more in (("seen", ["--features", root / "input" / "features"]), ("blind", [])):
        assert called(predict.main, *given, "--out", tmp_path / f"{name}.json", *more)[0] == 0
        results[name] = read_json(tmp_path / f"{name}.json"), read_json(tmp_path / f"{name}.metrics.json")
        record = read_json(tmp_path / f"{name}.record.json")
        assert record["streams"] == {"clip": fingerprint(root / "input" / "features", "clip") if more else None}
    (seen, figures), (blind, others) = results["seen"], results["blind"]
    assert [one.get("image") for one in seen] == [one.get("image") or None for one in rows[:7]], (
        "duplicates are left out"
    )
    assert [one["zero-shot"] for one in seen] == [one["zero-shot"] for one in blind], "the base model sees nothing"
    tuned = [one["instructions"]["fine-tuned"]["held_out"]["loss"] for one in (figures, others)]
    assert tuned[0] < tuned[1]
    code, said = called(predict.main, *given, "--out", tmp_path / "x.json", "--features", tmp_path)
    assert code == 2 and "no stream clip" in said and not (tmp_path / "x.json").exists()


def test_the_page_shows_a_picture_by_its_name(model, run, root, tmp_path):
    assert len(model.pictures) == len(SHADES) * len(COLOURS) and "red0" in model.pictures
    *_, seen = model.answers("Which colour?", "", HOW, image="red0")
    *_, blind = model.answers("Which colour?", "", HOW)
    assert seen[BASE] == blind[BASE]
    write_json([*asked([0])[:1], {"instruction": "Which colour?"}], tmp_path / "tasks.json")
    assert [one[TUNED] for one in model.of_file(tmp_path / "tasks.json", HOW)] == [seen[TUNED], blind[TUNED]]
    sliders = 0, 1, 0, 1, HOW.new_tokens
    *_, (said, *texts) = instruction_page.written(model, "Which colour?", "", "red0", "alpaca_short", True, *sliders)
    assert (said, texts) == ("", [*seen.values()])
    assert InstructionPredict(run.adapter("instruction")).pictures == []


# ---- what cannot be ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["../a.png", "/etc/a.png", "C:\\a.png", "a\\b.png", "a/../../b.png", "https://a.b/c.png", "a\0.png", 5]
)
def test_a_path_that_leads_elsewhere_is_refused_by_file_example_and_field(tmp_path, path):
    write_json([{"instruction": "a", "output": "b", "image": path}], tmp_path / "data.json")
    with pytest.raises(InstructionError, match=r"data.json, example 1, field 'image': .* is no path below the folder"):
        make_input(tmp_path / "data.json")


def test_streams_that_do_not_fit_the_examples_are_one_message(root, tiny_model_folder, tmp_path):
    shutil.copytree(root / "input", tmp_path / "input")
    here, examples = tmp_path / "input" / "features", tmp_path / "input" / "train" / "examples.json"

    def task(**more):
        return opened(tmp_path, tiny_model_folder, **more).task("instruction")

    with pytest.raises(FileError, match="no stream face .* It has clip"):
        task(streams="face")
    np.savez(here / "other.npz", elsewhere=np.ones(3))
    with pytest.raises(
        ConfigError, match="no example of .* has a vector of other. .*'elsewhere'.* first image is 'pict"
    ):
        task(streams="other")
    rows = read_json(examples)
    write_json([{**rows[0], "image": "more/red0.png"}, *rows[1:]], examples)
    with pytest.raises(
        InstructionError, match="'pictures/red0.png' has the name of 'more/red0.png'. Give pictures names"
    ):
        task()
    assert not opened(tmp_path, tiny_model_folder, streams="").task("instruction").senses.streams, "words need no names"


def test_an_adapter_that_lost_its_projector_is_refused(run, tmp_path):
    shutil.copytree(run.adapter("instruction"), tmp_path / "lost")
    (tmp_path / "lost" / "projector.safetensors").unlink()
    with pytest.raises(ModelError, match="projector.safetensors is missing, by which it reads vectors"):
        InstructionPredict(tmp_path / "lost")
