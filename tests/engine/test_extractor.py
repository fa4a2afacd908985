"""Models that hear or see make the vectors that transformers' own calls make. All are tiny, random, and in a folder.

python -m pytest tests/engine/test_extractor.py
"""

import numpy as np
import pytest
import torch
from helpers import called
from made_clips import (
    PATCHES,
    SIZED,
    SMALL,
    plain,
    save_clip,
    saved,
    tiny_clip,
    tone,
    write_film,
    write_picture,
    write_wav,
)
from PIL import Image
from transformers import (
    AutoImageProcessor,
    CLIPVisionModel,
    HubertConfig,
    HubertModel,
    VideoMAEConfig,
    VideoMAEModel,
    ViTConfig,
    ViTModel,
    Wav2Vec2FeatureExtractor,
)

from utils import features
from utils.data.clips import frames, sound
from utils.data.features import read_stream
from utils.engine.extractor import model_extractor
from utils.system.errors import ModelError

pytest.importorskip("av")
HEARING = {"conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2}


def film(folder):
    return write_film(folder / "a.mp4", [plain(20 * k, 9 * k, 255 - 20 * k) for k in range(12)], sound=tone(165))


def test_sound_is_heard_as_hubert_hears_it(tmp_path):
    torch.manual_seed(1)
    config = HubertConfig(**SMALL, **HEARING, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2)
    net, processor = HubertModel(config).eval(), Wav2Vec2FeatureExtractor(sampling_rate=8000)
    (tmp_path / "hubert").mkdir()
    _, read, finish = model_extractor(saved(tmp_path / "hubert", net, processor.to_dict()))
    path = write_wav(tmp_path / "a.wav", tone(220))
    with torch.inference_mode():
        inputs = processor(sound(path, 8000), sampling_rate=8000, return_tensors="pt")
        wanted = net(**inputs).last_hidden_state.mean(1)[0]
    assert finish(read(path)) == pytest.approx(wanted.numpy(), abs=1e-5) and len(wanted) == 32
    # Longer than 30 seconds: in equal parts, whose means are weighted by their steps.
    path = write_wav(tmp_path / "long.wav", tone(np.linspace(100, 300, 61 * 16000), seconds=61))
    parts = np.array_split(read(path), 3)
    with torch.inference_mode():
        heard = [net(**processor(one, sampling_rate=8000, return_tensors="pt")).last_hidden_state[0] for one in parts]
    found = finish(read(path))
    assert found == pytest.approx(torch.cat(heard).mean(0).numpy(), abs=1e-5) and found.dtype == np.float32


@pytest.mark.parametrize("whole", [True, False])
def test_a_picture_is_seen_as_clip_sees_it(tmp_path, whole):
    """The whole model projects what it sees; its picture tower alone gives the pooled output."""
    net, folder = tiny_clip(), tmp_path / "clip"
    tower = CLIPVisionModel(net.config.vision_config).eval()
    tower.load_state_dict(net.state_dict(), strict=False)
    folder.mkdir()
    saved(folder, net if whole else tower, {"image_processor_type": "CLIPImageProcessor", **SIZED})
    _, read, finish = model_extractor(str(folder))
    path = write_picture(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (50, 40, 3)).astype(np.uint8))
    with torch.inference_mode():
        inputs = AutoImageProcessor.from_pretrained(folder)(Image.open(path), return_tensors="pt")
        pooled = net.get_image_features(**inputs).pooler_output if whole else tower(**inputs).pooler_output
    assert finish(read(path)) == pytest.approx(pooled.numpy(), abs=1e-4)
    assert finish(read(film(tmp_path))).shape == (8, 24 if whole else 32)


def test_a_picture_model_without_a_pooler_gives_its_first_token(tmp_path):
    torch.manual_seed(1)
    net, folder = ViTModel(ViTConfig(**SMALL, **PATCHES), add_pooling_layer=False).eval(), tmp_path / "vit"
    folder.mkdir()
    sized = {"height": 32, "width": 32}
    saved(folder, net, {"image_processor_type": "ViTImageProcessor", "size": sized})
    _, read, finish = model_extractor(str(folder))
    path = write_picture(tmp_path / "a.png", plain(200, 100, 50))
    with torch.inference_mode():
        inputs = AutoImageProcessor.from_pretrained(folder)(Image.open(path), return_tensors="pt")
        wanted = net(**inputs).last_hidden_state[:, 0]
    assert finish(read(path)) == pytest.approx(wanted.numpy(), abs=1e-4)


def test_a_film_is_seen_as_videomae_sees_it(tmp_path):
    torch.manual_seed(1)
    net, folder = VideoMAEModel(VideoMAEConfig(**SMALL, **PATCHES, num_frames=4)).eval(), tmp_path / "videomae"
    folder.mkdir()
    saved(folder, net, {"image_processor_type": "VideoMAEImageProcessor", **SIZED})
    _, read, finish = model_extractor(str(folder))
    path = film(tmp_path)
    with torch.inference_mode():
        inputs = AutoImageProcessor.from_pretrained(folder)(frames(path, 4), return_tensors="pt")
        wanted = net(**inputs).last_hidden_state.mean(1)[0]
    assert finish(read(path)) == pytest.approx(wanted.numpy(), abs=1e-4)
    assert finish(read(write_picture(tmp_path / "b.png", plain(9, 9, 9)))).shape == (32,)  # four times the same


def test_models_that_cannot_be_used_are_named(tmp_path, tiny_model_folder):
    with pytest.raises(ModelError, match="it takes input_ids, neither sound nor pictures"):
        model_extractor(tiny_model_folder)
    with pytest.raises(ModelError, match="cannot be loaded.*preprocessor_config.json and the weights"):
        model_extractor(str(tmp_path / "nowhere"))
    folder = tmp_path / "clip"
    save_clip(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        model_extractor(str(folder))


def test_the_command_makes_a_stream_of_a_model(tmp_path):
    model = save_clip(tmp_path / "clip")
    (tmp_path / "films").mkdir()
    film(tmp_path / "films")
    arguments = (tmp_path / "films", "--out", tmp_path / "features", "--streams", "clip", "--model", model, "--jobs", 1)
    assert called(features.main, *arguments)[0] == 0
    stream = read_stream(tmp_path / "features", "clip")
    assert stream.of({"video_name": "a.mp4"}).shape == (8, 24)
