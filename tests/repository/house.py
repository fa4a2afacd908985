"""The house in figures: files, lines, circles of imports, imports inside functions, branches on a task's name.

    python tests/repository/house.py                 # of this checkout
    python tests/repository/house.py OTHER_CHECKOUT  # of another revision, such as a git worktree

tests/repository/test_house.py holds the rules that these figures show; import-linter (`make lint`) holds the layers.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Loading one of these takes seconds, or it may be absent: only they may be imported inside a function. Of our own
# modules those that load one.
HEAVY = {
    "IPython", "av", "bitsandbytes", "cv2", "datasets", "espeakng_loader", "gguf", "google", "gradio",
    "huggingface_hub", "jupyter_client", "kaggle_secrets", "llama_cpp", "matplotlib", "nbclient", "optuna",
    "packaging", "papermill", "peft", "pyarrow", "ray", "scipy", "sklearn", "torch", "traitlets", "transformers",
    "trl", "vllm", "zmq",
}  # fmt: skip
BRANCH = re.compile(
    r"\b(task|task\.name|name|form|cause_form|config\.cause_form) (==|!=) \"(emotion|cause|list|candidates)\""
)


def modules(root: Path = ROOT) -> dict[str, Path]:
    """{dotted name: file} of utils/ and generate_input.py."""
    files = [*sorted((root / "utils").rglob("*.py")), root / "generate_input.py"]
    names = (".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for file in files)
    return dict(zip(names, files))


def imports(file: Path, known: dict[str, Path]) -> list[tuple[str, bool]]:
    """(module, whether inside a function) for every import of a file: our own modules by their full name, others by
    their package."""
    found = []

    def visit(node, inside):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    found.append((whole if whole in known else child.module or "", inside))
            visit(child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))

    visit(ast.parse(file.read_text(encoding="utf-8")), False)
    return [(name if name in known else name.split(".")[0], inside) for name, inside in found]


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    reach = {}
    for start in graph:
        seen, waiting = set(), [start]
        while waiting:
            for target in graph.get(waiting.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
        reach[start] = seen
    groups = {frozenset(other for other in reach[one] if one in reach[other]) for one in graph if one in reach[one]}
    return [sorted(group) for group in groups]


def heavy_modules(known: dict[str, Path]) -> set[str]:
    """Our own modules that load a heavy package at import, directly or through another."""
    at_import = {name: {one for one, inside in imports(file, known) if not inside} for name, file in known.items()}
    heavy = {name for name, found in at_import.items() if found & HEAVY}
    while more := {name for name, found in at_import.items() if name not in heavy and found & heavy}:
        heavy |= more
    return heavy


def light_deferred(root: Path = ROOT) -> list[str]:
    """Imports inside functions that save no heavy package, as "file: module"."""
    known = modules(root)
    heavy = heavy_modules(known) | HEAVY
    return [
        f"{file.relative_to(root)}: {name}"
        for file in known.values()
        for name, inside in imports(file, known)
        if inside and name not in heavy
    ]


def branches(root: Path = ROOT) -> list[str]:
    """Lines outside utils/tasks/ that branch on a task's name or on a form of answer."""
    return [
        f"{file.relative_to(root)}:{number}: {line.strip()}"
        for file in modules(root).values()
        if "tasks" not in file.parts
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if BRANCH.search(line)
    ]


def counted(root: Path = ROOT) -> dict[str, int]:
    """The figures of a checkout."""
    known = modules(root)
    files = [file for name, file in known.items() if name != "generate_input"]
    lines = [len(file.read_text(encoding="utf-8").splitlines()) for file in files]
    graph = {name: {one for one, _ in imports(file, known) if one in known} for name, file in known.items()}
    return {
        "files in utils/": len(files),
        "files directly in utils/": sum(file.parent.name == "utils" for file in files),
        "lines": sum(lines),
        "longest file": max(lines),
        "files over 350 lines": sum(count > 350 for count in lines),
        "circles of imports": len(circles(graph)),
        "imports of generate_input in utils/": sum("generate_input" in found for found in graph.values()),
        "imports inside functions": sum(inside for file in known.values() for _, inside in imports(file, known)),
        "of them, without a heavy package": len(light_deferred(root)),
        "branches on a task's name outside tasks/": len(branches(root)),
    }


if __name__ == "__main__":
    for name, count in counted(Path(sys.argv[1]) if sys.argv[1:] else ROOT).items():
        print(f"{count:6}  {name}")
