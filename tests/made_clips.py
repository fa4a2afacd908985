"""Clips that tests make: tones in wav files by the standard library, films and pictures by PyAV."""

import wave

import numpy as np

RATE = 16_000


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
