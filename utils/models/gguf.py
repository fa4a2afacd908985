"""GGUF files for llama.cpp, of Llama models with byte-level tokenizers."""

import json
from pathlib import Path

from utils.system.errors import ExportError

GGUF_TYPES = {
    "float32": "F32",
    "bfloat16": "BF16",
    "float16": "F16",
    **{name.lower(): name for name in ("Q8_0", "Q5_0", "Q4_0")},
}
_BYTES = {"type": "ByteLevel", "add_prefix_space": False}
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What llama.cpp calls the ways in which byte-level tokenizers cut a text before they merge bytes to tokens.
CUTS = {
    "gpt-2": {**_BYTES, "use_regex": True},
    "smollm": {
        "type": "Sequence",
        "pretokenizers": [{"type": "Digits", "individual_digits": True}, {**_BYTES, "use_regex": True}],
    },
    "llama-bpe": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": _LLAMA_3}, "behavior": "Isolated", "invert": False},
            {**_BYTES, "use_regex": False},
        ],
    },
}


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
    writer.add_file_type(gguf.LlamaFileType[{"F32": "ALL_F32"}.get(kind.name, f"MOSTLY_{kind.name}")])
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
        if written is None:
            raise ExportError(f"{name}: GGUF has no name for this tensor. Export safetensors")
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
