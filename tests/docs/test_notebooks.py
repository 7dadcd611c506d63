"""The notebooks run at their small size, and say what they say in the repository."""

import json
import re
from pathlib import Path

import pytest
from doc_blocks import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
LARGEST = 300_000  # bytes


def printed(notebook: dict) -> str:
    """Return what the cells print."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return "\n".join("".join(output.get("text", "")) for output in outputs)


def scores(notebook: dict, kind: str) -> list[float]:
    """Return the first number of the lines that begin with these words."""
    return [float(value) for value in re.findall(rf"^{kind} +([\d.]+)", printed(notebook), re.M)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs(path):
    assert path.stat().st_size < LARGEST
    notebook = json.loads(path.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data"}
    # No log, and no path of the machine that ran it.
    assert not re.search(r"INFO|WARNING|/tmp/|/home/|/root/", printed(notebook))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, monkeypatch):
    client = pytest.importorskip("nbclient", reason="needs nbclient: make docs installs it")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("mmocr")
    monkeypatch.setenv("NOTEBOOK_SIZE", "small")
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    client.NotebookClient(notebook, timeout=1500, resources=folder).execute()
    (pretrained,) = scores(notebook, "pretrained" if "masking" in path.stem else "bundled")
    (random_weights,) = scores(notebook, "random weights")
    assert pretrained > random_weights
