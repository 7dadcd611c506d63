"""The cost table of docs/results/scaling.md, computed again."""

import re
import shlex
import subprocess
import sys

import pytest


@pytest.fixture
def sheet(repository):
    """The command of the document, and the table that follows it."""
    text = (repository / "docs" / "results" / "scaling.md").read_text()
    command = re.search(r"\$ python (\S+pretraining_cost\.py.*)\n```\n\n((?:\|.*\n)+)", text)
    return shlex.split(command[1]), command[2]


def test_documented_table_is_the_output_of_the_command(repository, sheet):
    command, table = sheet
    done = subprocess.run(
        [sys.executable, *command], cwd=repository, capture_output=True, text=True, check=True
    )
    assert done.stdout == table


def test_costs_by_hand(sheet):
    command, table = sheet
    given = dict(zip(command[1::2], map(float, command[2::2])))
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]
    for (name, hours, cores, rate, storage), millions in zip(rows, (10, 100, 1000)):
        seconds = millions * 1e6 * 20 / given["--images"]
        assert float(hours.replace(",", "")) == pytest.approx(seconds / (60 * 60), abs=0.5), name
        assert float(cores) == pytest.approx(given["--images"] / given["--reading"], abs=0.05)
        # Read in all, divided by the time that it may take.
        read = millions * 20 * given["--bytes"]
        assert float(rate) == pytest.approx(read / seconds, abs=0.5)
        number, unit = storage.split()
        gigabytes = float(number) * {"GB": 1, "TB": 1000}[unit]
        assert gigabytes == pytest.approx(millions * given["--bytes"] / 1000, rel=0.01)


@pytest.mark.parametrize("images", ["0", "many"])
def test_figures_that_are_none(repository, images):
    script = str(repository / "tools" / "benchmarks" / "pretraining_cost.py")
    options = ["--images", images, "--reading", "1", "--bytes", "1"]
    done = subprocess.run(
        [sys.executable, script, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
