"""Reading of config files."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError

# What reading a config, and merging it with its bases, may raise.
_CONFIG_ERRORS = (
    AssertionError, AttributeError, ConfigParsingError, KeyError, NameError, SyntaxError, TypeError,
)  # fmt: skip


def read_config_file(path: str) -> Config:
    """Read a config and its bases.

    Raises:
        FileNotFoundError: There is no such config.
        ImportError: A module that it imports is missing.
        ValueError: The config is wrong.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no config file {path}; the bundled ones are in configs/")
    try:
        return Config.fromfile(path)
    except ImportError as error:
        cause: BaseException = error
        while earlier := cause.__cause__ or cause.__context__:
            cause = earlier  # MMEngine reports its search path in place of the missing module
        raise ImportError(f"{path} cannot be used: {cause}") from error
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} cannot be read: {error.filename or error} does not exist; a config outside of "
            "configs/ inherits by _base_ = 'mms_ocr::mms/pretrain_vit_s.py' and the like from an "
            "installed mms_ocr"
        ) from error
    except _CONFIG_ERRORS as error:
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ValueError(f"{path} cannot be read: {reason}") from error
