"""Clips a second of `utils.features`, beside a plain loop over the same libraries.

    pip install -c constraints.txt av espeakng-loader
    python -m benchmarks.speed.features        # writes benchmarks/results/features_speed.json; a minute

The clips are the first conversations of the sample, spoken by eSpeak NG. All ways make the stream `voice`:

plain loop      decodes a clip by PyAV, computes its numbers by numpy and scipy, writes them by numpy; then the next
one process     `utils.features --jobs 1`: each clip's file is whole or not there, and a bar is drawn
all cores       `utils.features`, with the start of its processes
once more       the same command again, which finds all clips done

The ways take turns, `--runs` times. Vectors are equal; a clip counts once.
"""

import argparse
import contextlib
import io
import os
import wave
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import psutil
from tqdm import tqdm

from benchmarks import RESULTS
from utils import features
from utils.data.clips import SOUND, check_decoder, clips_in, sound
from utils.data.conversations import load_conversations
from utils.data.voice import voice
from utils.models.speech import Speaker
from utils.record.provenance import revision, versions
from utils.speak import spoken, with_clips
from utils.system.command import command, positive
from utils.system.files import read_json, write_json
from utils.system.places import ROOT

WAYS = ("plain loop", "one process", "all cores", "once more")


def speak(folder: Path, count: int) -> float:
    """Writes `count` clips into the folder; seconds of sound."""
    source, seconds = ROOT / "data" / "sample", 0.0
    conversations = with_clips(load_conversations(source), source)
    files = (one for one in spoken(conversations, Speaker(), source) if one[1] is not None)
    for _, (name, file, _) in zip(range(count), files):
        (folder / name).write_bytes(file or b"")
        with wave.open(str(folder / name)) as opened:
            seconds += opened.getnframes() / opened.getframerate()
    return seconds


def plain_loop(clips: Path, out: Path) -> None:
    out.mkdir(parents=True)
    for name, path in clips_in(clips, SOUND).items():
        np.save(out / f"{name}.npy", voice(sound(path)))


def by_command(clips: Path, out: Path, jobs: int) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        assert features.main([str(clips), "--out", str(out), "--jobs", str(jobs)]) == 0


def turn(clips: Path, place: Path, cores: int) -> dict[str, float]:
    """{way: seconds}, each once. Raises AssertionError where two ways' vectors differ."""
    plain, one, all_cores = (place / name for name in ("plain", "one", "all"))
    ways = {
        "plain loop": lambda: plain_loop(clips, plain),
        "one process": lambda: by_command(clips, one, 1),
        "all cores": lambda: by_command(clips, all_cores, cores),
        "once more": lambda: by_command(clips, all_cores, cores),
    }
    found = {}
    for way, run in ways.items():
        start = perf_counter()
        run()
        found[way] = perf_counter() - start
    for path in plain.iterdir():
        assert all(np.array_equal(np.load(path), np.load(other / "voice" / path.name)) for other in (one, all_cores))
    return found


def table(result: dict) -> str:
    """The table of what `main` wrote: a line a way."""
    lines = ["| | clips a second | times the plain loop |", "|---|---|---|"]
    plain = result["seconds"]["plain loop"]["median"]
    for way, one in result["seconds"].items():
        lines.append(f"| {way} | {result['clips'] / one['median']:.0f} | {plain / one['median']:.1f} |")
    return "\n".join(lines)


@command("benchmarks.speed.features")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for what cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=positive, default=40, help="default: %(default)s")
    parser.add_argument("--runs", type=positive, default=5, help="of every way (default: %(default)s)")
    parser.add_argument("--result", type=Path, default=RESULTS / "features_speed.json")
    a = parser.parse_args(argv)
    check_decoder()
    from benchmarks.speed.measure import summary  # torch, which the processes of `utils.features` do not load

    cores, seconds = os.cpu_count() or 1, {way: [] for way in WAYS}
    with TemporaryDirectory() as place:
        clips = Path(place) / "clips"
        clips.mkdir()
        length = speak(clips, a.clips)
        plain_loop(clips, Path(place) / "warm")
        for number in tqdm(range(a.runs), unit="run"):
            for way, took in turn(clips, Path(place) / f"{number}", cores).items():
                seconds[way].append(took)
        count = len([*clips.iterdir()])
    record = {
        "command": f"python -m benchmarks.speed.features --clips {a.clips} --runs {a.runs}",
        "revision": revision(),
        "versions": versions(),
        "cores": cores,
        "load": psutil.getloadavg()[0],
        "clips": count,
        "seconds_of_sound": length,
        "seconds": {way: summary(its) for way, its in seconds.items()},
    }
    write_json(record, a.result)
    print(table(read_json(a.result)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
