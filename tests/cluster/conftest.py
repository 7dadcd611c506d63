"""A slurm on this machine, and machines that are network namespaces; skipped where they cannot be.

`make test-slurm` installs slurm where apt can, and runs these tests; `make test` leaves them out.
"""

import os
import sys
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A slurm of two nodes, whose tasks find the Python that runs the tests."""
    from local_slurm import LocalSlurm, missing_programs

    if missing_programs():
        pytest.skip(f"no slurm here (no {missing_programs()[0]}): `make test-slurm` installs it")
    cluster = LocalSlurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
    except TimeoutError as error:
        pytest.skip(f"slurm does not start on this machine: {error}")
    path = cluster.environment["PATH"]
    cluster.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    yield cluster
    cluster.stop()
