"""The sub-commands of ``mms-ocr``, one module each.

A command's module has ``HELP``, one line that says what the command does;
``add_arguments(parser)``; and ``run(args)``, which returns the exit status. Its file is its name,
with ``_`` for ``-``. Heavy packages are imported inside ``run``, so that help stays quick.
"""

import pkgutil

__all__ = ["names"]


def names() -> list[str]:
    """Names of all commands, as typed on the command line, in alphabetical order."""
    modules = (found.name for found in pkgutil.iter_modules(__path__))
    return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))
