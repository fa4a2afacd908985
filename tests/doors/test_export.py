"""Exported models: the labels of the adapter on 20 conversations, in every form; llama.cpp too, where it is installed.

pip install llama-cpp-python && python -m pytest tests/doors/test_export.py
"""

import json
import sys

import gguf
import pytest
import torch
from helpers import beginning, randomize, with_adapter
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from utils.config import Config
from utils.data.conversations import names_of
from utils.data.templates import Template
from utils.data.topics import Topic
from utils.engine.inference import score_trees
from utils.engine.llama_cpp import gguf_scores, load_gguf
from utils.engine.prefix_tree import encode
from utils.engine.rows import encode_trees
from utils.engine.settings import InferenceSettings, Writing
from utils.export import export, main, merge
from utils.models.adapters import add_adapter, load_adapter, save_adapter
from utils.models.gguf import CUTS, write_gguf
from utils.models.load import load_model
from utils.record.instruction_predict import InstructionPredict
from utils.system.errors import ExportError, FileError
from utils.system.files import write_json
from utils.tasks import cause, emotion
from utils.tasks.ask import predict
from utils.tasks.forms import opinion_task
from utils.tasks.instruction import Instructions
from utils.tasks.instruction_writing import written


def recorded(root, task, config, notebook, **more):
    """The folder of a finished adapter of a run in `root`, with its records and no weights yet."""
    run, parameters = root / "results_train" / "mine", config.as_dict()
    trained = {"task": task, "parameters": parameters, "revision": "abc", "history": [], **more}
    write_json(trained, run / "adapters" / task / "training.json")
    used = {name: parameters[name] for name in ("model", "run_name", "input_dir")}
    record = {"parameters": used, "input": {}, "revision": "abc", "versions": {}}
    write_json({notebook: record}, run / "config.json")
    return run / "adapters" / task


def make_adapter(root, base, quantization="none", method="lora"):
    """The emotion adapter of a run in `root`, with random weights; its folder."""
    config = Config(model=base, quantization=quantization, precision="float32", adapter=method)
    adapter = recorded(root, "emotion", config, "1_emotion_recognition_training", emotions={})
    save_adapter(with_adapter(base, quantization, method=method), adapter, base)
    return adapter


@pytest.fixture(scope="module")
def adapter(tiny_model_folder, tmp_path_factory):
    return make_adapter(tmp_path_factory.mktemp("run"), tiny_model_folder)


@pytest.fixture(scope="module")
def twenty(sample):
    """20 conversations of 4 utterances."""
    return [beginning(c, 4) for c in sample[:20]]


def scores(model, tokenizer, conversations):
    """Log-probabilities of the seven emotions, utterances x 7."""
    trees = [emotion.tree(c) for c in conversations]
    found = score_trees(model, tokenizer, trees, names_of(conversations), 512, 4096)
    return torch.tensor([question for one in found for question in one])


def labels(found):
    """The likeliest emotion of each utterance, against the emotion's mean: a random model has a favourite."""
    return (found - found.mean(0)).argmax(1)


@pytest.fixture(scope="module")
def wanted(adapter, tiny_model_folder, twenty):
    """The scores of base model and adapter."""
    model, tokenizer = load_model(tiny_model_folder, precision="float32")
    bare = scores(model, tokenizer, twenty)
    found = scores(load_adapter(model, adapter, tiny_model_folder), tokenizer, twenty)
    assert found.shape == (80, 7) and (found - bare).abs().mean() > 0.5, "the adapter matters"
    assert labels(found).bincount(minlength=7).count_nonzero() > 3, "labels differ"
    return found


def assert_equal(found, wanted, tolerance=1e-4):
    """Rounding adds up over answers of several tokens; labels may not differ."""
    assert (found - wanted).abs().max() < tolerance and torch.equal(labels(found), labels(wanted))


def test_safetensors_give_the_adapters_labels(adapter, twenty, wanted, tmp_path):
    folder = export(adapter, tmp_path / "out")
    model, tokenizer = load_model(str(folder), precision="float32")
    assert_equal(scores(model, tokenizer, twenty), wanted)
    written = {path.name for path in folder.iterdir()}
    assert written >= {"config.json", "model.safetensors", "tokenizer.json", "README.md", "training.json"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "library_name: transformers" in card and "merged into" in card
    (tmp_path / "new").touch()
    usual = oct((tmp_path / "new").stat().st_mode)
    assert {oct(path.stat().st_mode) for path in folder.iterdir()} == {usual}, "others may read it"


def test_a_plain_state_dict_gives_the_adapters_labels(adapter, twenty, wanted, tmp_path):
    folder = export(adapter, tmp_path / "out", "state_dict")
    state = torch.load(folder / "state_dict.pt", weights_only=True)
    assert type(state) is dict and {type(value) for value in state.values()} == {torch.Tensor}
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), attn_implementation="sdpa")
    model.load_state_dict(state)
    assert_equal(scores(model.eval(), AutoTokenizer.from_pretrained(folder), twenty), wanted)


def read_gguf(path):
    """The model and tokenizer that transformers, which has a reader of its own, finds in a GGUF file."""
    name = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    model = AutoModelForCausalLM.from_pretrained(**name, dtype=torch.float32, attn_implementation="sdpa")
    return model.eval(), AutoTokenizer.from_pretrained(**name)


def test_gguf_read_by_transformers_gives_the_adapters_labels(adapter, twenty, wanted, tmp_path):
    folder = export(adapter, tmp_path / "out", "gguf")
    model, tokenizer = read_gguf(folder / "model-float32.gguf")
    ours = AutoTokenizer.from_pretrained(folder)
    assert_equal(scores(model, ours, twenty), wanted)
    texts = [u["text"] for c in twenty for u in c["conversation"]]
    assert [tokenizer(text, add_special_tokens=False).input_ids for text in texts] == [
        ours(text, add_special_tokens=False).input_ids for text in texts
    ]


@pytest.mark.parametrize(
    ("weights", "bits", "most"),
    [("float16", 16, 0.02), ("bfloat16", 16, 0.1), ("q8_0", 8.5, 0.2), ("q5_0", 5.5, 1.5), ("q4_0", 4.5, 3)],
)
def test_rounded_gguf_weights_cost_what_they_should(adapter, twenty, wanted, tmp_path, weights, bits, most):
    path = export(adapter, tmp_path / "out", "gguf", weights) / f"model-{weights}.gguf"
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    one = tensors["blk.0.ffn_up.weight"]
    assert one.n_bytes == one.n_elements * bits / 8
    kept = 8.5 if bits < 8 else bits
    assert tensors["output.weight"].n_bytes == tensors["output.weight"].n_elements * kept / 8
    assert tensors["output_norm.weight"].tensor_type.name == "F32"
    found = scores(read_gguf(path)[0], AutoTokenizer.from_pretrained(tmp_path / "out"), twenty)
    assert 0 < (found - wanted).abs().max() < most


def test_4_bits_are_those_of_the_weights_that_training_had(tiny_model_folder, tmp_path):
    adapter = make_adapter(tmp_path, tiny_model_folder, "nf4")
    record = json.loads((adapter / "training.json").read_text(encoding="utf-8"))
    record["parameters"]["precision"] = "bfloat16"
    (adapter / "training.json").write_text(json.dumps(record), encoding="utf-8")
    wanted = load_model(tiny_model_folder, "nf4", "bfloat16")[0].dequantize(dtype=torch.float32)
    wanted = load_adapter(wanted.float(), adapter, tiny_model_folder).merge_and_unload().state_dict()
    found = merge(adapter)[0].state_dict()
    assert all(torch.equal(found[name], one) for name, one in wanted.items()) and len(found) == len(wanted)
    assert {one.dtype for one in found.values()} == {torch.float32}


def test_an_adapter_of_a_4_bit_model_is_merged_into_what_it_was_trained_on(tiny_model_folder, twenty, tmp_path):
    adapter = make_adapter(tmp_path, tiny_model_folder, "nf4")
    model, tokenizer = load_model(tiny_model_folder, "nf4", "float32")
    wanted = scores(load_adapter(model, adapter, tiny_model_folder), tokenizer, twenty)
    folder = export(adapter, tmp_path / "out")
    model, tokenizer = load_model(str(folder), precision="float32")
    assert "quantization_config" not in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert_equal(scores(model, tokenizer, twenty), wanted, 1e-3)
    bare = make_adapter(tmp_path / "full", tiny_model_folder)  # the same adapter, on weights that were not rounded
    full = scores(*merge(bare), twenty)
    assert (full - wanted).abs().max() > 0.1


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("method", ["dora", "ia3"])
def test_other_adapters_become_part_of_the_weights(tiny_model_folder, twenty, tmp_path, method, quantization):
    adapter = make_adapter(tmp_path, tiny_model_folder, quantization, method)
    model, tokenizer = load_model(tiny_model_folder, quantization, "float32")
    wanted = scores(load_adapter(model, adapter, tiny_model_folder), tokenizer, twenty)
    form = "gguf" if quantization == "none" else "safetensors"
    folder = export(adapter, tmp_path / "out", form)
    if form == "gguf":
        model, _ = read_gguf(folder / "model-float32.gguf")
    else:
        model, _ = load_model(str(folder), precision="float32")
    assert_equal(scores(model, AutoTokenizer.from_pretrained(folder), twenty), wanted, 1e-3)
    assert {"dora": "A DoRA", "ia3": "An IA3"}[method] + " adapter, merged into" in (folder / "README.md").read_text()


@pytest.mark.parametrize("method", ["prompt_tuning", "llama_adapter"])
def test_what_is_no_part_of_the_weights_is_refused_before_the_model_is_loaded(
    tiny_model_folder, tmp_path, method, monkeypatch
):
    adapter = make_adapter(tmp_path, tiny_model_folder, method=method)
    monkeypatch.setattr("utils.models.load.load_model", lambda *anything, **more: pytest.fail("the model was loaded"))
    with pytest.raises(ExportError, match="are no part of a model's weights. Use the folder itself, with PEFT"):
        export(adapter, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- instructions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["safetensors", "gguf"])
def test_an_exported_model_writes_the_answers_of_the_adapter(tiny_model_folder, tmp_path, form):
    template = Template.read("alpaca_short")
    config = Config(model=tiny_model_folder, quantization="none", precision="float32", template="alpaca_short")
    decided = Instructions(template).decided([], list)
    adapter = recorded(tmp_path, "instruction", config, "instruction_training", **decided)
    save_adapter(with_adapter(tiny_model_folder, std=0.5), adapter, tiny_model_folder)
    wanted = next(InstructionPredict(adapter).answers("Say it.", how=Writing(new_tokens=8)))["trained"]
    folder = export(adapter, tmp_path / "out", form)
    if form == "gguf":
        model, tokenizer = read_gguf(folder / "model-float32.gguf")[0], AutoTokenizer.from_pretrained(folder)
    else:
        model, tokenizer = load_model(str(folder), precision="float32")
    example = {"example_ID": 1, "instruction": "Say it.", "input": ""}
    assert written(Instructions(template), model, tokenizer, [example], Writing(new_tokens=8)) == [wanted]


# ---- opinions ----------------------------------------------------------------------------------------------


def opinion_adapter(root, base, strategy):
    """(the adapter of a strategy, its task, the model that has it, its tokenizer), with random weights."""
    topic = Topic.read("new-stadium")
    task = opinion_task({topic.name: topic}, "regression_with_relevance", strategy)
    config = Config(model=base, quantization="none", precision="float32", strategy=strategy, virtual_tokens=4)
    model, tokenizer = load_model(base, precision="float32", outputs=task.outputs)
    torch.manual_seed(0)
    model = randomize(add_adapter(model, **config.adapter_settings())).eval()
    adapter = recorded(root, "opinion", config, "opinion_training", **task.decided([], list))
    save_adapter(model, adapter, base)
    return adapter, task, model, tokenizer


def test_an_adapter_with_a_head_becomes_a_sequence_classifier(tiny_model_folder, tmp_path):
    adapter, task, model, tokenizer = opinion_adapter(tmp_path, tiny_model_folder, "sequence")
    text = {"text_ID": 1, "text": "Build it.", "opinions": {"new-stadium": {}}}
    _, (table,) = predict(task, model, tokenizer, [text], InferenceSettings())
    alone = AutoModelForSequenceClassification.from_pretrained(export(adapter, tmp_path / "out")).eval()
    tokens = tokenizer("What does the writer of a text think?").input_ids
    for piece in ("\nWhat does the writer think of building a new stadium?", "\nText: Build it.", "\nAnswer:"):
        tokens += encode(tokenizer, piece)
    with torch.no_grad():
        logits = alone(torch.tensor([tokens])).logits[0]
    assert [*alone.config.id2label.values()] == ["relevance: no opinion", "relevance: opinion", "score"]
    assert logits[:2].softmax(0).tolist() == pytest.approx(table["new-stadium"]["relevance"], abs=1e-4)
    assert logits[2].item() == pytest.approx(table["new-stadium"]["score"][0], abs=1e-3)
    with pytest.raises(ExportError, match="llama.cpp has no place for its head"):
        export(adapter, tmp_path / "gguf", "gguf")


def test_virtual_tokens_are_not_merged(tiny_model_folder, tmp_path):
    adapter, *_ = opinion_adapter(tmp_path, tiny_model_folder, "prompt")
    with pytest.raises(ExportError, match="virtual tokens are no part of a model's weights"):
        export(adapter, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- refusals ----------------------------------------------------------------------------------------------


def test_what_cannot_be_exported_is_said_and_leaves_nothing(adapter, tmp_path, capsys, monkeypatch):
    for form, weights, message in (("safetensors", "q8_0", "choose one of"), ("gguf", "q3_k", "choose one of")):
        with pytest.raises(ExportError, match=message):
            export(adapter, tmp_path / "out", form, weights)
    with pytest.raises(FileError, match="is there already"):
        export(adapter, tmp_path)
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "no finished adapter of a run" in capsys.readouterr().err
    monkeypatch.setattr("utils.export.write_gguf", lambda *_: (_ for _ in ()).throw(ExportError("cannot")))
    with pytest.raises(ExportError, match="cannot"):
        export(adapter, tmp_path / "out", "gguf")
    assert list(tmp_path.iterdir()) == []


def test_the_command_lists_what_it_wrote(adapter, tmp_path, capsys):
    assert main([str(adapter), "--out", str(tmp_path / "out"), "--to", "gguf", "--weights", "q8_0"]) == 0
    assert "MB  " in (said := capsys.readouterr().out) and "model-q8_0.gguf" in said


def test_other_architectures_and_tokenizers_are_left_to_llama_cpps_converter(tiny_model_folder, tokenizer, tmp_path):
    model = load_model(tiny_model_folder)[0]
    model.config.model_type = "mistral"
    with pytest.raises(ExportError, match="convert_hf_to_gguf.py"):
        write_gguf(model, tokenizer, tmp_path / "one.gguf")
    model.config.model_type = "llama"
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["pre_tokenizer"] = {"type": "Whitespace"}
    with pytest.raises(ExportError, match="cut by Whitespace.*convert_hf_to_gguf.py"):
        write_gguf(model, from_json(backend), tmp_path / "one.gguf")


def test_without_llama_cpp_its_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(ExportError, match="pip install llama-cpp-python"):
        load_gguf("any.gguf")


# ---- llama.cpp, run ----------------------------------------------------------------------------------------


def from_json(backend):
    from tokenizers import Tokenizer

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend)),
        bos_token="<s>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )


def by_llama_cpp(path, tokenizer, trees, names):
    llama = load_gguf(path)
    return [gguf_scores(llama, row) for row in encode_trees(trees, names, tokenizer, 4096, train=False)]


def test_llama_cpp_gives_the_adapters_labels(adapter, twenty, wanted, tmp_path):
    pytest.importorskip("llama_cpp")
    folder = export(adapter, tmp_path / "out", "gguf")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trees, names = [emotion.tree(c) for c in twenty], names_of(twenty)
    found = by_llama_cpp(folder / "model-float32.gguf", tokenizer, trees, names)
    assert_equal(torch.tensor([question for one in found for question in one]), wanted, 1e-2)

    trees = [cause.candidates_tree(c) for c in twenty[:5]]  # other questions, with branches of several lengths
    found = by_llama_cpp(folder / "model-float32.gguf", tokenizer, trees, names[:5])
    expected = score_trees(*merge(adapter), trees, names[:5], 512, 4096)
    assert torch.allclose(torch.tensor(sum(found, [])), torch.tensor(sum(expected, [])), atol=1e-2)


def with_offsets(part):
    """A part of a pre-tokenizer with the field that CUTS leaves out, because it changes no token."""
    return {**part, "trim_offsets": True} if part.get("type") == "ByteLevel" else part


@pytest.mark.parametrize("cut", CUTS)
def test_llama_cpp_cuts_texts_as_the_tokenizer_does(tiny_model_folder, tokenizer, sample, tmp_path, cut):
    pytest.importorskip("llama_cpp")
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["pre_tokenizer"] = json.loads(json.dumps(CUTS[cut]), object_hook=with_offsets)
    ours = from_json(backend)
    write_gguf(load_model(tiny_model_folder)[0], ours, tmp_path / "one.gguf")
    llama = load_gguf(tmp_path / "one.gguf")
    texts = [u["text"] for c in sample for u in c["conversation"]]
    texts += ["It's 12,345.67 on 2024-05-17!", "Zoë naïve, 日本語 🙂", "  two  spaces\n\nlines\t", "<|im_end|>"]
    for text in texts:
        expected = ours(text, add_special_tokens=False, split_special_tokens=True).input_ids
        assert llama.tokenize(text.encode(), add_bos=False, special=False) == expected, text
    assert llama.tokenize(b"", add_bos=True) == ours("").input_ids
