"""Export: an adapter merged into its base model, for use without this repository.

    python -m utils.export emotion --out exported/emotion              # the adapter that ships, as safetensors
    python -m utils.export cause --run sample --out exported/cause --to state_dict
    python -m utils.export results_train/sample/adapters/emotion --out exported/emotion-q8 --to gguf --weights q8_0

The folder also holds the tokenizer, the adapter's training.json, a cause adapter's structure.json and a model card.
`gguf_scores` is how llama.cpp scores the questions that the model was trained on; benchmarks/exactness/export.py counts
what each form of the weights changes.
"""

import argparse
import shutil
import sys
from pathlib import Path

from utils.models.gguf import GGUF_TYPES, write_gguf
from utils.record.adapter import adapter_folder, trained_with
from utils.record.card import card
from utils.system.command import add_run, command
from utils.system.errors import ExportError
from utils.system.files import check_new, new_folder
from utils.system.parameters import names_in
from utils.tasks import cause_structure
from utils.tasks.forms import recorded_outputs

FORMATS = ("safetensors", "state_dict", "gguf")
TYPES = ("float32", "bfloat16", "float16")


def merge(adapter):
    """(model, tokenizer): the base model of the adapter in this folder, with the adapter added to its weights, all in
    float32. A 4-bit base is first unpacked, so that what the adapter was trained on stays.

    Raises ModelError for a folder without a finished adapter, ExportError for one that cannot be merged.
    """
    import torch

    from utils.models.adapters import load_adapter
    from utils.models.load import load_model
    from utils.models.methods import unmerged

    if why := unmerged(adapter):
        raise ExportError(f"{adapter}: {why}. Use the folder itself, with PEFT")
    config = trained_with(adapter)
    if streams := names_in(config.streams):
        raise ExportError(
            f"{adapter}: it reads vectors ({', '.join(streams)}), and its projector is no part of a model's weights. "
            "Use the folder itself, with utils.predict"
        )
    # On the CPU, where there is room for float32; 4 bits come from weights of the precision that training had.
    precision = "float32" if config.quantization == "none" else config.precision
    outputs, place = recorded_outputs(adapter), torch.device("cpu")
    model, tokenizer = load_model(config.model, config.quantization, precision, place=place, outputs=outputs)
    if config.quantization != "none":
        model = model.dequantize(dtype=torch.float32)
        model.is_loaded_in_4bit = False  # PEFT would refuse to merge IA3
    model = load_adapter(model.float(), adapter, config.model)
    model = model.merge_and_unload()
    model.config.name_or_path = config.model
    return model, tokenizer


def export(adapter, folder, form: str = "safetensors", weights: str = "float32") -> Path:
    """Write the adapter, merged into its base model, as `form` (one of FORMATS) with weights of the type `weights`
    (TYPES, for GGUF one of GGUF_TYPES) to a new `folder`, whole or not at all; its path.

        safetensors  what transformers' from_pretrained reads; of an adapter with a head a sequence classifier
        state_dict   {name: tensor}, read by torch.load(weights_only=True)
        gguf         one file for llama.cpp

    Raises ExportError for a model or tokenizer that cannot be written so, FileError for a folder that is there already
    or cannot be written, ModelError for what cannot be read, RunError for a folder that is no adapter of a run.
    """
    import torch

    folder = Path(folder).absolute()
    allowed = tuple(GGUF_TYPES) if form == "gguf" else TYPES
    if form not in FORMATS or weights not in allowed:
        raise ExportError(f"{form} with weights {weights}: choose one of {FORMATS}, and of {allowed} for its weights")
    check_new(folder)
    if form == "gguf" and recorded_outputs(adapter):
        raise ExportError(f"{adapter}: llama.cpp has no place for its head. Give safetensors or state_dict")
    written = card(adapter, merged=form)  # a folder that is no adapter of a run is refused before the work
    model, tokenizer = merge(adapter)
    with new_folder(folder) as partial:
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
        for name in ("training.json", cause_structure.FILE):
            if (Path(adapter) / name).is_file():
                shutil.copy(Path(adapter) / name, partial)
        (partial / "README.md").write_text(written, encoding="utf-8")
    return folder


@command("utils.export")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be exported."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.export", description="Merge an adapter into its base model and write the result."
    )
    parser.add_argument("adapter", help="a task, such as emotion, of the run; or the folder of an adapter")
    add_run(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--to", choices=FORMATS, default="safetensors", help="default: %(default)s")
    parser.add_argument(
        "--weights",
        choices=tuple(GGUF_TYPES),
        default="float32",
        help="their type; those with q for GGUF alone (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    folder = export(adapter_folder(arguments.adapter, arguments.run), arguments.out, arguments.to, arguments.weights)
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size / 1e6:10.1f} MB  {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
