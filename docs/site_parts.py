"""Directives and checks of the site.

Directives: the public names of a package, the types of configs, the help of the commands. Checks,
beside Sphinx's own: every public name is on a page and has a docstring, every name that a docstring
refers to exists, and no page loads anything from another host.
"""

from __future__ import annotations

import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

LOGGER = logging.getLogger(__name__)
API = Path(__file__).resolve().parent / "api"
HELP_WIDTH = 88  # characters


# What the reference shows.


def public_names(package: str) -> dict[str, Any]:
    """Return the objects of ``__all__`` of a package by full name, without modules."""
    module = import_module(package)
    objects = {f"{package}.{name}": getattr(module, name) for name in module.__all__}
    return {name: value for name, value in objects.items() if not inspect.ismodule(value)}


def packages_with_names() -> list[str]:
    """Return all packages of mms_ocr that have ``__all__``."""
    names = [
        module.name
        for module in pkgutil.walk_packages(import_module("mms_ocr").__path__, "mms_ocr.")
        if module.ispkg
    ]
    return [name for name in names if hasattr(import_module(name), "__all__")]


def registered_types() -> Iterator[tuple[str, Any]]:
    """Yield name and object of every type in the scope ``mms_ocr``, by registry."""
    from mms_ocr import registry

    for name in registry.__all__:
        types = getattr(registry, name)
        types.import_from_location()
        for needing_mmocr in types._needing_mmocr:
            types.get(needing_mmocr)
        yield from sorted(types.module_dict.items())


@cache
def reference() -> dict[str, dict[str, Any]]:
    """Return what the pages of the reference show: objects by full name, by package.

    A package shows its public names, their public base classes, and the registered types of its
    modules, except those that a package before it shows.
    """
    shown: list[Any] = []
    pages: dict[str, dict[str, Any]] = {}
    for page in re.findall(r"^   (\w+)$", (API / "index.rst").read_text(), re.M):
        for package in re.findall(r"public-names:: (\S+)", (API / f"{page}.rst").read_text()):
            names = {
                name: value
                for name, value in public_names(package).items()
                if not _is_in(value, shown)
            }
            shown += names.values()
            below = [value for _, value in registered_types()]
            below += [base for value in names.values() for base in getattr(value, "__mro__", ())]
            for value in below:
                module, name = value.__module__, value.__name__
                is_below = f"{module}.".startswith(f"{package}.")
                if is_below and not name.startswith("_") and not _is_in(value, shown):
                    names[f"{module}.{name}"] = value
                    shown.append(value)
            pages[package] = names
    return pages


def _is_in(value: Any, values: list[Any]) -> bool:
    return any(value is other for other in values)


def faults() -> list[str]:
    """Return a message for each public name or type that is on no page or has no docstring."""
    shown = {name: value for names in reference().values() for name, value in names.items()}
    messages = [f"{name} has no docstring" for name, value in shown.items() if not doc(name, value)]
    names = [item for package in packages_with_names() for item in public_names(package).items()]
    for name, value in [*names, *registered_types()]:
        if not _is_in(value, list(shown.values())):
            messages.append(f"{name} is on no page of docs/api")
    return messages


def doc(full_name: str, value: Any) -> str | None:
    """Return the docstring of a class or function, or the ``#:`` comment of a constant."""
    if inspect.isclass(value) or inspect.isroutine(value):
        return value.__doc__
    module, _, name = defining_name(full_name, value).rpartition(".")
    comment = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
    return "\n".join(comment) if comment else None


def defining_name(full_name: str, value: Any) -> str:
    """Return the full name of an object, for a constant in the module that defines it."""
    if inspect.isclass(value) or inspect.isroutine(value):
        return full_name
    package, _, name = full_name.rpartition(".")
    source = inspect.getsource(import_module(package))
    origin = re.search(rf"from (\S+) import [^)]*?\b{name}\b", source)
    return f"{origin[1]}.{name}" if origin else full_name


# Directives.


class PublicNames(SphinxDirective):
    """``public-names:: PACKAGE``: a reference of what the package shows."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write autodoc's directive of each name, and parse them."""
        (package,) = self.arguments
        lines = [f".. py:module:: {package}", ""]
        for name, value in reference()[package].items():
            kind = "data"
            options = [":no-value:"]
            if inspect.isclass(value):
                kind = "exception" if issubclass(value, BaseException) else "class"
                options = [":members:", ":special-members: __call__", ":show-inheritance:"]
            elif inspect.isroutine(value):
                kind, options = "function", []
            lines.append(f".. auto{kind}:: {defining_name(name, value)}")
            lines += [f"   {option}" for option in options]
            lines.append("")
        return parse(self, lines)


class RegisteredTypes(SphinxDirective):
    """``registered-types::``: a table of the types that a config can name."""

    def run(self) -> list[nodes.Node]:
        """Write a table with a link to the reference of each type."""
        lines = [".. list-table::", "   :header-rows: 1", "", "   * - type", "     - what it is"]
        for name, value in registered_types():
            summary = inspect.getdoc(value).partition("\n\n")[0].replace("\n", " ")
            role = "class" if inspect.isclass(value) else "func"
            target = f"{value.__module__}.{name}"
            lines += [f"   * - :py:{role}:`mms_ocr.{name} <{target}>`", f"     - {summary}"]
        return parse(self, lines)


class CommandHelp(SphinxDirective):
    """``command-help::``: what ``mms-ocr COMMAND --help`` prints, for every command."""

    def run(self) -> list[nodes.Node]:
        """Format the help of every parser in a section of its own."""
        from mms_ocr.cli.main import COMMANDS, build_parser

        sections: list[nodes.Node] = []
        with mock.patch.dict(os.environ, COLUMNS=str(HELP_WIDTH), NO_COLOR="1"):
            actions = build_parser()._actions
            parsers = next(each.choices for each in actions if isinstance(each.choices, dict))
            for name in COMMANDS:
                text = parsers[name].format_help()
                section = nodes.section(ids=[f"mms-ocr-{name}"], names=[f"mms-ocr {name}"])
                section += nodes.title(text=f"mms-ocr {name}")
                section += nodes.literal_block(text, text, language="text")
                sections.append(section)
        return sections


def parse(directive: SphinxDirective, lines: list[str]) -> list[nodes.Node]:
    """Parse reStructuredText at the place of a directive."""
    container = nodes.container()
    directive.state.nested_parse(StringList(lines, "site_parts"), 0, container)
    return container.children


# References in docstrings.


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Node
) -> nodes.Node | None:
    """Resolve a reference that Sphinx does not find by its name.

    An object that the site shows under another name is linked. One that exists elsewhere, here
    or in another package, is shown without a link. Anything else is a fault of the docstring.
    """
    if node.get("refdomain") != "py":
        return None
    found = find(node["reftarget"], node.get("py:module"), node.get("py:class"))
    if not found:
        return None
    for names in reference().values():
        for name, value in names.items():
            if value is found[0] and (inspect.isclass(value) or inspect.isroutine(value)):
                entry = env.domains.python_domain.objects[name]
                page = node["refdoc"]
                return make_refnode(app.builder, page, entry.docname, entry.node_id, [content])
    return content


def find(target: str, module: str | None, owner: str | None) -> list[Any]:
    """Return the object of a name in a list, or an empty one."""
    names = [f"{owner}.{target}", f"{module}.{owner}.{target}"] if owner else []
    names += [f"{module}.{target}", target]
    # The page of a package shows classes of its modules, whose docstrings use their own names.
    names += [f"{name}.{target}" for name in sorted(sys.modules) if name.startswith("mms_ocr.")]
    types = dict(registered_types())
    if target.removeprefix("mms_ocr.") in types:
        return [types[target.removeprefix("mms_ocr.")]]
    for name in names:
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            value = sys.modules.get(".".join(parts[:length]))
            if value is None:
                continue
            try:
                for part in parts[length:]:
                    value = inspect.getattr_static(value, part)
            except AttributeError:
                break
            return [value]
    return []


# Checks and the table of contents.


class Loaded(HTMLParser):
    """Collects what a page loads from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the address of everything but a link to click on."""
        values = dict(attrs)
        if tag == "a" or values.get("rel") == "canonical":
            return
        for key in ("src", "href", "srcset", "data", "poster"):
            if re.match(r"(https?:)?//", values.get(key) or ""):
                self.urls.append(f"<{tag} {key}={values[key]}>")


def check_built(app: Sphinx, error: Exception | None) -> None:
    """Warn of every page or style sheet that loads something from another host."""
    if error or app.builder.format != "html":
        return
    for path in sorted(Path(app.outdir).rglob("*.html")):
        page = Loaded()
        page.feed(path.read_text(encoding="utf-8"))
        for url in page.urls:
            LOGGER.warning("%s loads %s: the site has to work offline", path, url)
    for path in sorted(Path(app.outdir).rglob("*.css")):
        style = path.read_text(encoding="utf-8")
        for url in re.findall(r"(?:url\(|@import )['\"]?(?:https?:)?//[^'\")\s]+", style):
            LOGGER.warning("%s loads %s: the site has to work offline", path, url)


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Add the hidden tables of contents, of which GitHub would show the source."""
    tables = app.config.contents if page == app.config.root_doc else {}
    if page in app.config.contents_below:
        tables = {"": app.config.contents_below[page]}
    for caption, pages in tables.items():
        lines = ["```{toctree}", ":hidden:", f":caption: {caption}" if caption else "", *pages]
        source[0] += "\n" + "\n".join([*filter(None, lines), "```", ""])


def leave_out_object(
    app: Sphinx, name: str, value: Any, options: dict[str, Any], bases: list[Any]
) -> None:
    """Name no base class where it is ``object``."""
    bases[:] = [base for base in bases if base is not object]


def check_names(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of public names and types that are on no page or have no docstring."""
    for message in faults():
        LOGGER.warning(message)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives and checks."""
    app.add_config_value("contents", {}, "env")
    app.add_config_value("contents_below", {}, "env")
    app.add_directive("public-names", PublicNames)
    app.add_directive("registered-types", RegisteredTypes)
    app.add_directive("command-help", CommandHelp)
    app.connect("source-read", add_contents)
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-bases", leave_out_object)
    app.connect("env-check-consistency", check_names)
    app.connect("build-finished", check_built)
    return {"parallel_read_safe": True}
