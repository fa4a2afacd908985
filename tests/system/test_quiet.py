"""A kernel of utils.chain talks in code, and says nothing about it.

python -m pytest tests/system/test_quiet.py
"""

import subprocess
import sys

from helpers import ROOT

KERNEL = """
import nbformat
from nbclient import NotebookClient
from utils.system.quiet import encrypted_kernel

notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(6 * 7)")])
NotebookClient(notebook, config=encrypted_kernel(), timeout=60).execute()
print(notebook.cells[0].outputs[0].text)
"""


def test_a_kernel_starts_without_a_warning():
    done = subprocess.run([sys.executable, "-c", KERNEL], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "42"), done.stderr
    assert "encryption" not in done.stderr and "plain text" not in done.stderr
