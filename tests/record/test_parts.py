"""One labelling in parts, on several machines: their names, the whole of them, and what does not belong together.

python -m pytest tests/record/test_parts.py
"""

import pytest
from helpers import randomize

from utils.data.conversations import without_labels
from utils.models.adapters import add_lora, save_adapter
from utils.models.load import load_model
from utils.record import parts
from utils.record.parts import job_of, part_of, write_part
from utils.system import files
from utils.system.errors import ConversationError, FileError
from utils.system.files import read_json, write_json


def said(key):
    """A conversation of one utterance, with this id."""
    return {"conversation_ID": key, "conversation": [{"utterance_ID": 1, "text": "Hello", "speaker": "Ana"}]}


def test_parts_are_named_by_number_and_count():
    assert part_of("3/8") == (3, 8) and part_of("1/1") == (1, 1)
    for text in ("0/8", "9/8", "3", "3/", "/8", "-1/8", "a/b", "1/0", "1/2/3", ""):
        with pytest.raises(Exception, match="it must be like 3/8"):
            part_of(text)


@pytest.mark.parametrize("count", [1, 2, 7, 9])
def test_parts_in_any_order_become_the_whole_in_the_inputs_order(tmp_path, count):
    everything = [said(number) for number in range(count)]
    out = tmp_path / "pred.json"
    for number in (2, 3, 1):
        assert not out.exists()
        write_part(everything[number - 1 :: 3], out, number, 3, "job")
    assert read_json(out) == everything and list(tmp_path.iterdir()) == [out]


def test_two_parts_that_end_at_once(tmp_path, monkeypatch):
    out = tmp_path / "pred.json"
    write_part([said(1)], out, 1, 2, "job")
    read, other = files.read_json, []

    def read_late(path):
        if not other:  # the other process is faster
            other.append(1)
            assert write_part([said(2)], out, 2, 2, "job") == out
        return read(path)

    monkeypatch.setattr(parts, "read_json", read_late)
    assert write_part([said(2)], out, 2, 2, "job") == out
    assert read(out) == [said(1), said(2)] and list(tmp_path.iterdir()) == [out]
    write_json([], tmp_path / "pred.json.part-1-of-2.json")
    (tmp_path / "pred.json.part-1-of-2.json").write_text("[")
    with pytest.raises(FileError, match="part-1-of-2"):  # a damaged part is no whole
        write_part([], out, 2, 2, "job")


def test_parts_of_two_jobs_are_not_mixed(tmp_path):
    out = tmp_path / "pred.json"
    old = write_part([said("old")], out, 1, 2, "old job")
    with pytest.raises(ConversationError, match="part-1-of-2.json is a part of other conversations or by other adapt"):
        write_part([said("new")], out, 2, 2, "new job")
    assert not out.exists() and len(list(tmp_path.iterdir())) == 2, "both parts are still there"
    old.unlink()
    assert write_part([said("newer")], out, 1, 2, "new job") == out
    assert [c["conversation_ID"] for c in read_json(out)] == ["newer", "new"]


def test_a_job_is_its_conversations_and_adapters(tiny_model_folder, conversations, tmp_path):
    adapters = [tmp_path / name for name in "abc"]
    for seed, adapter in enumerate(adapters):
        model = add_lora(load_model(tiny_model_folder, precision="float32")[0], 4, 8, 0.0, "all-linear")
        save_adapter(randomize(model, seed), adapter, tiny_model_folder)
        write_json({"parameters": {"model": tiny_model_folder}}, adapter / "training.json")
    job = job_of(conversations, adapters[:2])
    assert job == job_of([without_labels(c) for c in conversations], adapters[:2])
    assert len({job, job_of(conversations[1:], adapters[:2]), job_of(conversations, adapters[1:])}) == 3
