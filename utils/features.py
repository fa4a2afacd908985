"""From files to vectors: what was heard and seen in each utterance, as streams that the adapters read.

    pip install -c constraints.txt av opencv-python-headless
    python -m utils.features FILMS --out input/mine/features                       # the stream voice
    python -m utils.features FILMS --out input/mine/features --streams voice face frame
    python -m utils.features FILMS --out input/mine/features --streams hubert --model facebook/hubert-large-ls960-ft

FILMS holds a file an utterance, called as its `video_name`: wav, mp4, jpg and what else FFmpeg reads. Numbers and units
of `voice`, `face` and `frame` are in docs/senses.md. --model takes a hub id or a folder: of sound (HuBERT), pictures
(CLIP) or film (VideoMAE). Clips that cannot be used are named and left out. The same command goes on where it was
stopped.
"""

import argparse
import os
import sys
from pathlib import Path

from utils.data.clips import SIGHT, SOUND, clips_in
from utils.data.features import NAME
from utils.record.extraction import READY, Extractor, extract, reported
from utils.system.command import command, positive
from utils.system.errors import ConfigError, FileError, shown


def extractors(names: list[str], model: str | None) -> dict[str, Extractor]:
    """{stream: what makes it}. Raises ConfigError for a name that no stream can have, and for one that is not ready and
    has no model, ModelError for a model that cannot be used."""
    for name in names:
        if not NAME.fullmatch(name):
            raise ConfigError(f"--streams {shown(name)}: give up to 40 letters, digits, _ and -, a letter first")
        if not model and name not in READY:
            raise ConfigError(f"--streams {name}: ready are {', '.join(READY)}. For another give its --model")
    if not model:
        return {name: READY[name] for name in names}
    if len(names) != 1 or names[0] in READY:
        raise ConfigError(f"--model {model}: name its stream, one and none of {', '.join(READY)}: --streams NAME")
    from utils.engine.extractor import model_extractor  # seconds of torch

    suffixes, read, finish = model_extractor(model)
    return {names[0]: Extractor(model, suffixes, read, finish)}


@command("utils.features")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message: where nothing could be read, too."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.features", description="Vectors of sound, films and pictures, an utterance a file."
    )
    parser.add_argument("clips", type=Path, metavar="FOLDER", help="files called as the utterances' video_name")
    parser.add_argument("--out", type=Path, required=True, metavar="FEATURES", help="such as input/mine/features")
    parser.add_argument(
        "--streams", nargs="+", default=["voice"], metavar="NAME", help="voice (the default), face, frame"
    )
    parser.add_argument("--model", metavar="MODEL", help="hub id or folder of a model that makes the stream instead")
    jobs = os.cpu_count() or 1
    parser.add_argument("--jobs", type=positive, default=jobs, metavar="N", help="processes that read; default: cores")
    arguments = parser.parse_args(argv)
    asked = extractors(arguments.streams, arguments.model)
    for extractor in asked.values():
        extractor.check()
    for name, extractor in asked.items():
        clips, place = clips_in(arguments.clips, extractor.suffixes), arguments.out / name
        done, faults = extract(clips, place, extractor, arguments.jobs)
        others = [path for path in sorted(arguments.clips.iterdir()) if path.suffix.lower() not in {*SOUND, *SIGHT}]
        for line in reported(faults, others):
            print(line)
        if len(faults) == len(clips):
            raise FileError(f"{arguments.clips}: none of its {len(clips)} clips can be used for {name}")
        kept = len(clips) - len(done) - len(faults)
        print(f"{place}: {len(done)} clips read now, {kept} before, {len(faults)} left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
