"""Clips that tests make: tones in wav files by the standard library, films by PyAV, pictures by Pillow; and a tiny
random CLIP that sees them."""

import json
import wave

import numpy as np

RATE = 16_000
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
PATCHES = {"image_size": 32, "patch_size": 16}
SIZED = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}


def tone(hertz, seconds=1.0, rate=RATE, loudness=0.3, harmonics=6):
    """(n,) a sound with a pitch, as a voice has one: harmonics that fall by half. hertz: a number, or (n,) of them."""
    steps = np.broadcast_to(hertz, round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(steps)
    waves = sum(np.sin(phase * k) / 2**k for k in range(1, harmonics + 1))
    return (loudness * waves / np.abs(waves).max()).astype(np.float32)


def write_wav(path, sound, rate=RATE, channels=1):
    """A wav file of 16 bits; of several channels each has the same sound."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(np.round(np.asarray(sound) * 32767).astype("<i2"), channels).tobytes())
    return path


def write_film(path, pictures, rate=10, sound=None):
    """A film of these pictures (height, width, 3), `rate` a second, and of a sound at RATE."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        heard = container.add_stream("aac", rate=RATE, layout="mono") if sound is not None else None
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
        if heard is not None:
            frame = av.AudioFrame.from_ndarray(np.asarray(sound, np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate = RATE
            container.mux(heard.encode(frame))
            container.mux(heard.encode())
    return path


def write_picture(path, picture):
    """A picture file by its ending."""
    from PIL import Image

    Image.fromarray(picture).save(path)
    return path


def plain(red, green, blue, height=48, width=64):
    """A picture of one colour."""
    return np.full((height, width, 3), (red, green, blue), np.uint8)


def tiny_clip():
    """A random CLIP of 2 layers, whose vectors have 24 numbers."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(1)
    text = SMALL | {"vocab_size": 20, "max_position_embeddings": 8}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=SMALL | PATCHES, projection_dim=24)).eval()


def saved(folder, net, processor):
    """Writes a model and its processor as transformers reads them; the folder."""
    folder.mkdir(exist_ok=True)
    net.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return str(folder)


def save_clip(folder):
    """The tiny CLIP in a folder; the folder."""
    return saved(folder, tiny_clip(), {"image_processor_type": "CLIPImageProcessor", **SIZED})
