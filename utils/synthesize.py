"""Training data that the model writes itself: sentences of each label, from a few seed sentences of yours.

    python -m utils.synthesize --input input/dair --out input/self --count 20
    python -m utils.chain configs/sample.yaml --only 1,2 -p run_name self -p input_dir input/self

--out is an input for the notebooks: train is written here, val and test are those of --input. Interrupted, the same
command goes on behind the last batch. docs/self_generated_data.md says what is kept and what is not.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from utils.config import Config
from utils.record.inputs import find_input
from utils.record.synthesis import HOW, SEEDS, report_table, synthesize
from utils.system import places
from utils.system.command import command, positive


@command("utils.synthesize")
def main(argv=None) -> int:
    """Exit status 0, or 2 with one message for an input, seeds or a model that cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.synthesize", description="Let a model write labelled sentences for training."
    )
    parser.add_argument("--input", default=Config.input_dir, metavar="DIR", help="labels, val and test are its own")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder: the input that is made")
    parser.add_argument("--count", type=positive, default=20, metavar="N", help="sentences a label (default: 20)")
    parser.add_argument("--seeds", default=SEEDS, metavar="FILE", help="a name in data/seeds, or a file of yours")
    parser.add_argument("--model", default=Config.model, help="who writes: a folder or a hub id; default: the embedded")
    parser.add_argument("--seed", type=int, default=Config.seed, help="what is drawn (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=HOW.temperature, help="default: %(default)s")
    parser.add_argument("--top-p", type=float, default=HOW.top_p, help="default: %(default)s")
    given = parser.parse_args(argv)
    source = find_input(given.input, places.find().results, {})
    how = replace(HOW, temperature=given.temperature, top_p=given.top_p)
    report = synthesize(source, given.out, given.count, given.seeds, given.model, given.seed, how)
    print(report_table(report))
    print(f"written to {given.out}/{{train,val,test}}/conversations.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
