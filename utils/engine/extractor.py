"""Models that hear or see, as makers of vectors: HuBERT and its kin, CLIP's picture tower, VideoMAE; by transformers.

    suffixes, read, finish = model_extractor("openai/clip-vit-base-patch32")      # a hub id, or a folder
    finish(read(Path("dia1utt1.mp4")))        # (pictures, width); of sound and film (width,)

What a model is, its own configuration says: sound is what takes samples of sound, film what takes a number of pictures
at once, a picture what takes one. Its weights stay as they are, in float32.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel

from utils.data.clips import SIGHT, SOUND, frames, sound, spread
from utils.models.load import load_errors, source
from utils.system.errors import ModelError
from utils.system.hardware import device

PICTURES = 8  # of a film, for a model of pictures: a vector each
SECONDS = 30  # of sound that a model hears at once: its attention takes memory by their square
INSTEAD = "a hub id, or a folder with config.json, preprocessor_config.json and the weights"


def model_extractor(model: str) -> tuple[tuple[str, ...], Callable, Callable]:
    """(endings of the files that it reads, what reads one, what makes vectors of that) of a model; the second is for
    other processes, too. The vectors are

        sound    (width,): the mean over time of the last layer (as HuBERT's features are used; Cheng et al.,
                 Emotion-LLaMA, 2024); of more than SECONDS, of equal parts that are not longer
        picture  (pictures, width): of up to PICTURES pictures of a film, by the projection that compares them with
                 words where the model has one (CLIP), else by its pooled output or its first token
        film     (width,): the mean over patches of the last layer (VideoMAE)

    Raises ModelError for a model that cannot be found or read, and for one that neither hears nor sees.
    """
    with load_errors(model, INSTEAD):
        place = source(model)
        # Weights that the file lacks would be made at random, which transformers says in a warning alone.
        loaded: Any = AutoModel.from_pretrained(
            place, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
    net, found = loaded
    net = net.eval().to(device())
    # A pooler that the file lacks is not asked, and wav2vec2's mask is of training alone.
    if missing := [name for name in found["missing_keys"] if "pooler" not in name and "masked_spec" not in name]:
        raise ModelError(f"model {model}: its file lacks weights ({', '.join(sorted(missing)[:3])}). Give {INSTEAD}")
    poolless = any("pooler" in name for name in found["missing_keys"])
    takes = "pixel_values" if hasattr(net, "get_image_features") else net.main_input_name
    with load_errors(model, INSTEAD):
        if takes == "input_values":
            processor: Any = AutoFeatureExtractor.from_pretrained(place)
            rate = processor.sampling_rate
            return SOUND, partial(sound, rate=rate), partial(_heard, net, partial(processor, sampling_rate=rate), rate)
        if takes == "pixel_values":
            processor = AutoImageProcessor.from_pretrained(place)
            if count := getattr(net.config, "num_frames", 0):
                return SIGHT, partial(frames, most=count), partial(_filmed, net, processor, count)
            return SIGHT, partial(frames, most=PICTURES), partial(_seen, net, processor, poolless)
    raise ModelError(f"model {model}: it takes {takes}, neither sound nor pictures. Give {INSTEAD}")


def _asked(net, how: Callable, given, ask: Callable | None = None) -> Any:
    """What the model says of an input, prepared by `how`."""
    inputs = how(given, return_tensors="pt").to(device())
    with torch.inference_mode():
        return (ask or net)(**inputs)


def _heard(net, how: Callable, rate: int, samples: np.ndarray) -> np.ndarray:
    parts = np.array_split(samples, math.ceil(len(samples) / (SECONDS * rate)))
    states = (_asked(net, how, part).last_hidden_state[0] for part in parts)
    means, steps = zip(*((state.mean(0).float().cpu().numpy(), len(state)) for state in states))
    return np.average(means, axis=0, weights=np.divide(steps, sum(steps))).astype(np.float32)


def _filmed(net, processor: Callable, count: int, pictures: list[np.ndarray]) -> np.ndarray:
    film = [pictures[number] for number in spread(len(pictures), count)]
    return _asked(net, processor, film).last_hidden_state[0].mean(0).float().cpu().numpy()


def _seen(net, processor: Callable, poolless: bool, pictures: list[np.ndarray]) -> np.ndarray:
    said = _asked(net, processor, pictures, getattr(net, "get_image_features", None))
    pooled = None if poolless else getattr(said, "pooler_output", None)
    return (said.last_hidden_state[:, 0] if pooled is None else pooled).float().cpu().numpy()
