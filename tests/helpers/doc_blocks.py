"""Code blocks and commands of README.md, docs/ and the other pages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = ("*.md", "docs/*.md", "docs/results/*.md", "configs/*/README.md", "projects/**/*.md")
PAGES = sorted(page for pattern in PATTERNS for page in ROOT.glob(pattern))
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\S*)\n(?P<body>.*?)^(?P=indent)```$", re.S | re.M
)
ASSIGNMENT = re.compile(r"(\w+)=(.*)", re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str  # relative to the repository
    line: int
    language: str
    body: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in these languages, or all of them."""
    return [
        Block(
            str(page.relative_to(ROOT)),
            text[: match.start()].count("\n") + 1,
            match["language"],
            "".join(line.removeprefix(match["indent"]) for line in match["body"].splitlines(True)),
        )
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for match in FENCE.finditer(text)
        if not languages or match["language"] in languages
    ]


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the words of each command, without variables before it and files after ``>``.

    In a console, commands begin with ``$``, and other lines are output. Variables that the block
    sets are replaced.
    """
    body = re.sub(r"\\\n\s*", "", block.body)
    lines = shell_lines(body, prompt="$ " if block.language == "console" else "")
    values: dict[str, str] = {}
    for line in lines:
        for name, value in values.items():
            line = re.sub(rf"\${name}\b", lambda _, value=value: value, line)
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word not in ("&&", "|", ">"):
                words.append(word)
                continue
            while words and (match := ASSIGNMENT.fullmatch(words[0])):
                values[match[1]] = match[2]
                del words[0]
            if words:
                yield words
            words = []
            if word == ">":
                break


def shell_lines(body: str, prompt: str) -> Iterator[str]:
    """Yield the lines that begin with the prompt; a quoted text may go over several."""
    lines = iter(body.splitlines())
    for line in lines:
        if not line.startswith(prompt):
            continue
        line = line.removeprefix(prompt)
        while line.count('"') % 2:
            line += "\n" + next(lines)
        yield line
