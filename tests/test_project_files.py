"""Files around the package agree with each other: versions, checks, workflows."""

import re

import pytest
import yaml

import mms_ocr


@pytest.fixture
def read(repository):
    return lambda name: (repository / name).read_text(encoding="utf-8")


def test_citation_and_changelog_have_the_version(read):
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == mms_ocr.__version__
    newest = re.findall(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", read("CHANGELOG.md"), re.M)[0]
    assert newest == (mms_ocr.__version__, citation["date-released"])


def lint_commands(makefile):
    (recipe,) = re.findall(r"^lint: env\n((?:\t.*\n)+)", makefile, re.M)
    return [line.split("$(BIN)/")[1] for line in recipe.splitlines()]


def test_commit_hooks_run_what_make_lint_runs(read):
    """They take the programs of the environment, whose versions are those of the lock files."""
    (group,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert group["repo"] == "local"
    assert {hook["language"] for hook in group["hooks"]} == {"system"}
    only_hooks, only_lint = {"--fix", "--force-exclude"}, {"--check"}
    hooks = [set(hook["entry"].split()) - only_hooks for hook in group["hooks"]]
    lint = [set(re.sub(r"\$\(wild.*", "", c).split()) for c in lint_commands(read("Makefile"))]
    assert [sorted(words) for words in hooks] == [
        sorted(words - only_lint)
        for words in sorted(lint, key=lambda words: [hook <= words for hook in hooks].index(True))
    ]


def test_workflows_are_pinned_and_call_targets_that_exist(read, repository):
    targets = set(re.search(r"^\.PHONY: (.*)$", read("Makefile"), re.M)[1].split())
    workflows = sorted((repository / ".github/workflows").glob("*.yml"))
    assert workflows
    for path in workflows:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        assert workflow["concurrency"]
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"] <= 90
            for step in job["steps"]:
                if "uses" in step:
                    assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
                elif step["run"].startswith("make "):
                    called = step["run"].removeprefix("make ").strip('"')
                    rows = job.get("strategy", {}).get("matrix", {}).get("include", [])
                    names = [r["target"] for r in rows] if called == "$TARGET" else [called]
                    assert names
                    assert set(names) <= targets
                else:
                    script = repository / step["run"]
                    assert script.stat().st_mode & 0o100


def test_tests_run_on_every_python_that_the_package_names(read):
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    pythons = [row["python"] for row in workflow["jobs"]["test"]["strategy"]["matrix"]["include"]]
    minors = re.search(r"3\.\{minor\}\" for minor in \(([\d, ]+)\)", read("setup.py"))[1]
    assert pythons == [f"3.{minor}" for minor in minors.split(", ")]


def test_the_image_copies_what_the_package_is_built_from(read, repository):
    kept = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    assert all((repository / name).exists() for name in kept)
    manifest = set(re.findall(r"^(?:include|recursive-include) (.*)$", read("MANIFEST.in"), re.M))
    needed = {word.split("/")[0] for line in manifest for word in line.split() if "*" not in word}
    assert needed <= kept
