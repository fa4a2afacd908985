"""kill -9 at random moments of the whole chain: the same command again ends with the same files, byte for byte.

make soak                                        # 50 interruptions, about half an hour
KILLS=5 python -m pytest -m soak tests/promises/test_interruption.py
"""

import os
import random
import shutil
import subprocess
import time

import pytest
from helpers import outcome, repository, start

KILLS = int(os.environ.get("KILLS", "50"))


@pytest.mark.soak
def test_killed_chains_end_like_an_undisturbed_one(tiny_model_folder, conversations, tmp_path):
    parameters = {"model": tiny_model_folder, "token_budget": 1, "emotion_epochs": 6.0, "cause_epochs": 6.0}
    began = time.monotonic()
    undisturbed = repository(tmp_path / "undisturbed", conversations)
    assert start(undisturbed, parameters).wait(timeout=900) == 0, (undisturbed / "chain.log").read_text()
    length = time.monotonic() - began
    wanted = outcome(undisturbed)
    assert len(wanted) > 12 and not any(name.endswith("unfinished.jsonl") for name in wanted)

    rng, kills = random.Random(0), 0
    while kills < KILLS:
        mine, moments = repository(tmp_path / f"killed{kills}", conversations), []
        for _ in range(rng.choice((1, 1, 2))):
            moment = rng.uniform(0.2, length)
            process = start(mine, parameters)
            try:
                process.wait(timeout=moment)  # may end before: the machine is quicker than it was
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=60)
                moments.append(round(moment, 1))
        assert start(mine, parameters).wait(timeout=900) == 0, (moments, (mine / "chain.log").read_text()[-3000:])
        found = outcome(mine)
        assert found.keys() == wanted.keys(), moments
        assert [name for name in wanted if found[name] != wanted[name]] == [], moments
        kills += len(moments)
        print(f"{kills} of {KILLS}: killed after {moments} of {length:.0f} s, the same {len(found)} files")
        shutil.rmtree(mine)
