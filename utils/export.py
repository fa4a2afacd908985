"""Export: an adapter merged into its base model, for use without this repository.

    python -m utils.export results_train/sample/adapters/emotion --out exported/emotion                  # safetensors
    python -m utils.export results_train/sample/adapters/emotion --out exported/emotion-pt --to state_dict
    python -m utils.export results_train/sample/adapters/emotion --out exported/emotion-q8 --to gguf --weights q8_0

The folder also holds the tokenizer, the adapter's training.json, a cause adapter's structure.json and a model card.
`gguf_scores` is how llama.cpp scores the questions that the model was trained on; benchmarks/export.py counts what each
form of the weights changes.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from utils import structure
from utils.command import command
from utils.runs import RunError

FORMATS = ("safetensors", "state_dict", "gguf")
TYPES = ("float32", "bfloat16", "float16")
GGUF_TYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16",
              **{name.lower(): name for name in ("Q8_0", "Q5_0", "Q4_0")}}

_BYTES = {"type": "ByteLevel", "add_prefix_space": False}
_LLAMA_3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
            r"\s*[\r\n]+|\s+(?!\S)|\s+")
# What llama.cpp calls the ways in which byte-level tokenizers cut a text before they merge bytes to tokens.
CUTS = {
    "gpt-2": {**_BYTES, "use_regex": True},
    "smollm": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, {**_BYTES, "use_regex": True}]},
    "llama-bpe": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": _LLAMA_3}, "behavior": "Isolated", "invert": False},
        {**_BYTES, "use_regex": False}]},
}


class ExportError(ValueError):
    """What cannot be exported: the message says why, and what to do instead."""


def merge(adapter):
    """(model, tokenizer): the base model of the adapter in this folder, with the adapter added to its weights, all in
    float32. A 4-bit base is first unpacked, so that what the adapter was trained on stays.

    Raises ModelError for a folder without a finished adapter.
    """
    import torch

    from utils.modeling import load_adapter, load_model
    from utils.predict import trained_with

    config = trained_with(adapter)
    # On the CPU, where there is room for float32; 4 bits come from weights of the precision that training had.
    precision = "float32" if config.quantization == "none" else config.precision
    model, tokenizer = load_model(config.model, config.quantization, precision, place=torch.device("cpu"))
    if config.quantization != "none":
        model = model.dequantize(dtype=torch.float32)
    model = load_adapter(model.float(), adapter, config.model).merge_and_unload()
    model.config.name_or_path = config.model
    return model, tokenizer


def export(adapter, folder, form: str = "safetensors", weights: str = "float32") -> Path:
    """Write the adapter, merged into its base model, as `form` (one of FORMATS) with weights of the type `weights`
    (TYPES, for GGUF one of GGUF_TYPES) to a new `folder`, whole or not at all; its path.

        safetensors  what transformers' from_pretrained reads
        state_dict   {name: tensor}, read by torch.load(weights_only=True)
        gguf         one file for llama.cpp

    Raises ExportError for what cannot be written, ModelError for what cannot be read, RunError for a folder that is
    there already, or that is no adapter of a run.
    """
    import torch

    from utils.card import card

    folder = Path(folder).absolute()
    allowed = tuple(GGUF_TYPES) if form == "gguf" else TYPES
    if form not in FORMATS or weights not in allowed:
        raise ExportError(f"{form} with weights {weights}: choose one of {FORMATS}, and of {allowed} for its weights")
    if folder.exists():
        raise RunError(f"{folder} is there already: remove it, or choose another --out")
    model, tokenizer = merge(adapter)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        tokenizer.save_pretrained(partial)
        if form == "gguf":
            write_gguf(model, tokenizer, partial / f"model-{weights}.gguf", weights)
        else:
            model = model.to(getattr(torch, weights))
        if form == "safetensors":
            model.save_pretrained(partial)
        if form == "state_dict":
            model.config.save_pretrained(partial)
            torch.save(dict(model.state_dict()), partial / "state_dict.pt")
        for name in ("training.json", structure.FILE):
            if (Path(adapter) / name).is_file():
                shutil.copy(Path(adapter) / name, partial)
        (partial / "README.md").write_text(card(adapter, merged=form), encoding="utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


# ---- GGUF ------------------------------------------------------------------------------------------------------


def write_gguf(model, tokenizer, path: Path, weights: str = "float32"):
    """Write a model of the Llama architecture with a byte-level tokenizer as a GGUF file for llama.cpp.

    weights: one of GGUF_TYPES. Norms stay float32, and beside weights of 4 or 5 bits the embeddings, which are often
    the output's weights too, keep 8.

    Raises ExportError for another architecture or tokenizer.
    """
    import gguf

    config = model.config
    rope = config.rope_parameters
    if config.model_type != "llama" or rope.get("rope_type", "default") != "default" or config.attention_bias:
        raise ExportError(
            f"{config.name_or_path}: {config.model_type} with {rope.get('rope_type')} positions is not written here. "
            "Export safetensors, and turn them into GGUF with llama.cpp's convert_hf_to_gguf.py"
        )
    kind = gguf.GGMLQuantizationType[GGUF_TYPES[weights]]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(path.stem)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType[
        {"F32": "ALL_F32"}.get(kind.name, f"MOSTLY_{kind.name}")])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(writer, tokenizer, config.vocab_size)

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    state = model.state_dict()
    if config.tie_word_embeddings:
        del state["lm_head.weight"]  # llama.cpp takes the embeddings where there is no output
    for name, tensor in state.items():
        array = tensor.float().cpu().numpy()
        for part, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if f".{part}." in name:  # the two halves that positions turn stand beside each other in llama.cpp
                array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        written = names.get_name(name, try_suffixes=(".weight", ".bias"))
        of = gguf.GGMLQuantizationType.F32 if array.ndim == 1 else kind
        if written in ("token_embd.weight", "output.weight") and kind.name[:2] in ("Q4", "Q5"):
            of = gguf.GGMLQuantizationType.Q8_0
        try:
            writer.add_tensor(written, gguf.quants.quantize(array, of), raw_dtype=of)
        except gguf.quants.QuantError as error:
            raise ExportError(f"{name}: cannot be written as {weights} ({error}). Choose another type") from error
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer, tokenizer, size: int):
    """The tokenizer's tokens, their kinds, merges and special tokens, with `size` tokens in all."""
    import gguf

    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    cut = {k: v for k, v in (parts["pre_tokenizer"] or {}).items() if k != "trim_offsets"}
    if "pretokenizers" in cut:
        cut["pretokenizers"] = [{k: v for k, v in p.items() if k != "trim_offsets"} for p in cut["pretokenizers"]]
    name = next((name for name, one in CUTS.items() if one == cut), None)
    if parts["model"]["type"] != "BPE" or parts["normalizer"] is not None or name is None:
        raise ExportError(
            f"this tokenizer ({parts['model']['type']}, cut by {cut.get('type')}) is none of {', '.join(CUTS)}. "
            "Export safetensors, and turn them into GGUF with llama.cpp's convert_hf_to_gguf.py"
        )
    by_id = {number: token for token, number in tokenizer.get_vocab().items()}
    special = {one["id"]: one["special"] for one in parts["added_tokens"]}
    kinds = {None: gguf.TokenType.NORMAL, True: gguf.TokenType.CONTROL, False: gguf.TokenType.USER_DEFINED}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name)
    writer.add_token_list([by_id.get(i, f"[PAD{i}]") for i in range(size)])
    writer.add_token_types([kinds[special.get(i)] if i in by_id else gguf.TokenType.UNUSED for i in range(size)])
    merges = parts["model"]["merges"]
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in merges])
    for token in ("bos", "eos", "pad", "unk"):
        if (number := getattr(tokenizer, f"{token}_token_id")) is not None:
            getattr(writer, f"add_{token}_token_id")(number)
    writer.add_add_bos_token(tokenizer("").input_ids == [tokenizer.bos_token_id])
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


# ---- llama.cpp -------------------------------------------------------------------------------------------------


def load_gguf(path, tokens: int = 4096):
    """llama.cpp's model in the file `path`, for sequences of up to `tokens`. Raises ExportError without its package."""
    try:
        from llama_cpp import Llama
    except ImportError as error:
        raise ExportError("llama.cpp is missing: pip install llama-cpp-python (it is compiled for minutes)") from error
    return Llama(str(path), n_ctx=tokens, n_batch=512, verbose=False)


def gguf_scores(llama, row) -> list[list[float]]:
    """utils.inference.score_row by llama.cpp: the log-probability of every allowed answer of every question in `row`
    (a prefix_tree.Row): questions x answers. Depth first, so that only what no path before held is computed."""
    import numpy as np
    from llama_cpp import llama_get_logits_ith

    from utils.prefix_tree import paths

    targets = sorted({target for question in row.answers for answer in question for target in answer})
    logp, before, logits = {}, [], None
    llama.reset()
    for target, (seen, token) in zip(targets, paths(row, targets)):
        if seen != before:
            same = next((k for k, (a, b) in enumerate(zip(seen, before)) if a != b), min(len(seen), len(before)))
            llama.n_tokens = min(same, len(seen) - 1)  # what is behind is forgotten, and the last token computed
            llama.eval(seen[llama.n_tokens:])
            found = llama_get_logits_ith(llama.ctx, -1)
            logits = np.ctypeslib.as_array(found, shape=(llama.n_vocab(),)).astype(np.float64)
            logits = logits - logits.max()
            logits -= np.log(np.exp(logits).sum())
            before = seen
        logp[target] = float(logits[token])
    return [[sum(logp[target] for target in answer) for answer in question] for question in row.answers]


@command("utils.export")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be exported."""
    parser = argparse.ArgumentParser(description="Merge an adapter into its base model and write the result.")
    parser.add_argument("adapter", type=Path, help="a folder that notebook 1 or 3 wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--to", choices=FORMATS, default="safetensors", help="default: %(default)s")
    parser.add_argument("--weights", choices=tuple(GGUF_TYPES), default="float32",
                        help="their type; those with q for GGUF alone (default: %(default)s)")
    arguments = parser.parse_args(argv)
    from utils.conversations import ConversationError
    from utils.modeling import ModelError

    try:
        folder = export(arguments.adapter, arguments.out, arguments.to, arguments.weights)
    except (ConversationError, ExportError, ModelError, RunError, OSError) as error:
        print(f"utils.export: {error}", file=sys.stderr)
        return 2
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size / 1e6:10.1f} MB  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
