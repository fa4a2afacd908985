"""The chain's notebooks without a kernel: their code cells, in this process.

execute("1_emotion_recognition_training", {"run_name": "mine"})

A run made so has the files of one made by `python -m utils.chain`, but for the executed notebooks. The libraries are
loaded once, where every notebook's kernel loads them again.
"""

from utils.system.errors import ChainError
from utils.system.files import read_object
from utils.system.places import ROOT


def execute(notebook: str, parameters: dict) -> None:
    """Runs the code cells of a notebook in notebooks/, in order, with these `parameters`; those that its parameters
    cell does not know are passed over.

    Raises ChainError, which names the notebook, the cell and the cause, at the first cell that fails.
    """
    import matplotlib  # here, as loading it takes a second

    matplotlib.use("agg")  # nobody looks
    names = {"display": lambda *anything, **settings: None}
    cells = read_object(ROOT / "notebooks" / f"{notebook}.ipynb")["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, 1):
        try:
            exec(compile("".join(cell["source"]), f"<{notebook}, cell {number}>", "exec"), names)
        except Exception as error:
            raise ChainError(f"notebook {notebook} failed in cell {number}: {type(error).__name__}: {error}") from error
        if "parameters" in cell["metadata"].get("tags", []):
            names.update({name: value for name, value in parameters.items() if name in names})


def execute_all(notebooks: list[str], parameters: dict) -> None:
    """`execute` for each of `notebooks`, in order. Raises ChainError."""
    for notebook in notebooks:
        print(f"\n== {notebook}", flush=True)
        execute(notebook, parameters)
