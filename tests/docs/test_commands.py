"""Every command of the documentation exists, with its options, configs and files.

Programs parse the command lines with their own parsers and read the configs; nothing is trained
here. What is quick is run in test_running.py.
"""

import argparse
import copy
import itertools
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT, blocks, commands
from mmengine.config import Config
from packaging.requirements import Requirement

from mms_ocr.cli import benchmarking, testing, training
from mms_ocr.cli.data_option import set_data
from mms_ocr.cli.launching import read_config
from mms_ocr.cli.main import COMMANDS, build_parser

# Configs of the user, or that the page itself writes.
STAND_INS = {"CONFIG", "mixed.py"}
# Programs of the system, whose arguments are not of this project.
SYSTEM = {"cat", "cd", "docker", "git", "grep", "pre-commit", "source"}
LANGUAGES = {"", "bash", "console", "python", "text", "yaml", "{command-help}"}
TARGETS = set(re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split())


class ParsedError(Exception):
    """Ends a script once it has parsed its command line."""


@pytest.fixture(autouse=True)
def repository_with_quick_configs(monkeypatch):
    """Work in the repository, and read each config once."""
    monkeypatch.chdir(ROOT)
    read: dict[str, Config] = {}
    from_file = Config.fromfile

    def fromfile(path, *args, **kwargs):
        if path not in read:
            read[path] = from_file(path, *args, **kwargs)
        return copy.deepcopy(read[path])

    monkeypatch.setattr(Config, "fromfile", fromfile)


def check_mms_ocr(words: list[str]) -> None:
    build_parser().parse_args(words[1:])


def check_make(words: list[str]) -> None:
    targets = [word for word in words[1:] if "=" not in word]
    assert targets
    assert set(targets) <= TARGETS


def check_pip(words: list[str]) -> None:
    command, *rest = words[1:]
    assert command in ("install", "uninstall")
    for option, word in itertools.pairwise(["", *rest]):
        if option in ("-r", "-c"):
            assert Path(word).is_file(), word
        elif match := re.fullmatch(r"\.(?:\[(.*)\])?", word):
            extras = re.findall(
                r'^        "(\w+)": requirements', Path("setup.py").read_text(), re.M
            )
            assert set((match[1] or extras[0]).split(",")) <= set(extras), word
        elif not word.startswith("-"):
            Requirement(word)


def check_train(words: list[str]) -> None:
    args = training.parse_args(words)
    needs_mmseg = Path(args.config).name.startswith("mmseg_")
    if args.config not in STAND_INS and not (needs_mmseg and find_spec("mmseg") is None):
        read_config(args, ("train", "val"))


def check_test(words: list[str]) -> None:
    args = testing.parse_args(words)
    if args.config in STAND_INS:
        return
    cfg = read_config(argparse.Namespace(**{**vars(args), "data": None}))
    if benchmarking.uses_benchmark(cfg, args):
        assert cfg.model
    elif args.data:
        set_data(cfg, args.data, ("test",))
    if args.recognizer and Path(args.recognizer[0]).is_file():
        testing.add_recognizer(cfg, *args.recognizer)


def check_script(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a script parse its command line, and end it there."""
    parse = argparse.ArgumentParser.parse_args

    def parse_args(parser, args=None, namespace=None):
        raise ParsedError(parse(parser, args, namespace))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(sys, "path", [str(Path(words[0]).parent), *sys.path])
    with pytest.raises(ParsedError):
        runpy.run_path(words[0], run_name="__main__")


def check(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a command; an unknown program is a fault of the page or of this test."""
    while words[0] in ("taskset", "python"):
        words = words[3:] if words[0] == "taskset" else words[1:]
    program = words[0]
    simple = {"mms-ocr": check_mms_ocr, "make": check_make, "pip": check_pip}
    if program in simple:
        simple[program](words)
    elif program == "tools/train.py":
        check_train(words[1:])
    elif program == "tools/test.py":
        check_test(words[1:])
    elif program == "tools/dist_train.sh":
        config, _gpus, *rest = words[1:]
        check_train([config, *rest])
    elif program == "tools/slurm_train.sh":
        _partition, _job, config, folder, *rest = words[1:]
        check_train([config, "--work-dir", folder, *rest])
    elif program.endswith(".py"):
        check_script(words, monkeypatch)
    elif program.endswith(".sh"):
        assert Path(program).is_file()
    else:
        assert program in SYSTEM, f"{program} is not a program that this test knows"


@pytest.mark.parametrize("block", blocks("console", "bash"), ids=str)
def test_commands(block, monkeypatch, capsys):
    checked = 0
    for words in commands(block):
        try:
            check(words, monkeypatch)
        except SystemExit:
            pytest.fail(f"{block}: {' '.join(words)}: {capsys.readouterr().err}")
        monkeypatch.undo()
        monkeypatch.chdir(ROOT)
        checked += 1
    assert checked


def test_no_block_is_left_out():
    for block in blocks():
        assert block.language in LANGUAGES, block
        if block.language in ("", "text"):
            assert not re.search(r"^\$ ", block.body, re.M), f"{block}: call this block console"


def test_paths_targets_and_commands_in_the_text():
    faults = []
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue  # of other versions too
        text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.S | re.M)
        for code in re.findall(r"`([^`\n]+)`", text):
            for name in re.findall(r"\bmake ([a-z][\w-]*)", code):
                if name not in TARGETS:
                    faults.append(f"{page.name}: make {name}")
            for name in re.findall(r"\bmms-ocr ([a-z][\w-]*)", code):
                if name not in COMMANDS:
                    faults.append(f"{page.name}: mms-ocr {name}")
            for path in re.findall(
                r"(?<![\w/.])(?:configs|docs|mms_ocr|projects|tests|tools)/[^\s`;:)]*", code
            ):
                if not all(any(ROOT.glob(choice)) for choice in expand(path.strip("/,"))):
                    faults.append(f"{page.name}: {path}")
    assert faults == []


def expand(path: str) -> list[str]:
    """Expand ``{a,b}`` and placeholders in capitals of a path, as patterns of glob."""
    path = re.sub(r"\b[A-Z]{4,}\b|…", "*", path)
    parts = re.split(r"\{([^}]*)\}", path)
    choices = [part.split(",") if number % 2 else [part] for number, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]
