"""The ``mms-ocr`` command and its sub-commands, one module each; training and testing.

A command's module has ``HELP``, one line that says what the command does;
``add_arguments(parser)``; and ``run(args)``, which returns the exit status. Heavy packages are
imported inside ``run``, so that help stays quick.
"""

__all__ = ["names"]


def names() -> list[str]:
    """Names of all commands, which are those of their modules, in alphabetical order."""
    return [
        "convert",
        "decontaminate",
        "doctor",
        "inspect",
        "labels",
        "read",
        "reconstruct",
        "render",
        "segment",
        "upscale",
        "zoo",
    ]
