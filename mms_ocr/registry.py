"""Registries of scope ``mms_ocr``: children of MMEngine's roots.

A type written ``mms_ocr.X`` resolves from any default scope (mmengine, mmpretrain, mmocr, …): the
registry imports this module by the name of the scope, and then the modules under ``locations``.
Types that need MMOCR are in modules that are imported only when one of them is asked for, so that
everything else works without it.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

__all__ = [
    "DATASETS",
    "DATA_SAMPLERS",
    "FUNCTIONS",
    "HOOKS",
    "LOG_PROCESSORS",
    "LOOPS",
    "METRICS",
    "MODELS",
    "MODEL_WRAPPERS",
    "OPTIMIZERS",
    "OPTIM_WRAPPERS",
    "OPTIM_WRAPPER_CONSTRUCTORS",
    "PARAM_SCHEDULERS",
    "RUNNERS",
    "STRATEGIES",
    "TASK_UTILS",
    "TRANSFORMS",
    "VISBACKENDS",
    "VISUALIZERS",
    "WEIGHT_INITIALIZERS",
]


def type_name(settings: Mapping[str, Any]) -> str:
    """Return the name of a config's type, which may be a class, without its scope."""
    kind = settings.get("type", "")
    return getattr(kind, "__name__", str(kind)).rpartition(".")[2]


def nested_settings(config: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a config, if it is a mapping, and all mappings in it, at any depth."""
    if isinstance(config, Mapping):
        yield config
        config = config.values()
    elif not isinstance(config, (list, tuple)):
        return
    for part in config:
        yield from nested_settings(part)


class _Registry(Registry):
    """Registry some of whose types are imported only when they are asked for.

    ``needing_mmocr`` has the modules of types that need MMOCR, by type.
    """

    def __init__(self, *args: Any, needing_mmocr: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._needing_mmocr = needing_mmocr

    def get(self, key: str) -> Any:
        """Return the type of this name, as MMEngine's registries do.

        Raises:
            ImportError: The type needs MMOCR, and MMOCR cannot be imported.
        """
        name = key.removeprefix("mms_ocr.") if isinstance(key, str) else key
        if name in self._needing_mmocr:
            try:
                import_module(self._needing_mmocr[name])
            except ImportError as error:
                raise ImportError(
                    f"mms_ocr.{name} needs MMOCR, which cannot be imported here ({error}); "
                    "docs/install.md describes how to install it"
                ) from error
        return super().get(key)


def _child(parent: Registry, *locations: str, **needing_mmocr: str) -> Registry:
    return _Registry(
        parent.name,
        parent=parent,
        scope="mms_ocr",
        locations=list(locations),
        needing_mmocr=needing_mmocr,
    )


MODELS = _child(
    root.MODELS,
    "mms_ocr.models",
    CTCDecoder="mms_ocr.models.textrecog",
    LocatedCTCLoss="mms_ocr.models.textrecog",
    TextDecoder="mms_ocr.models.textrecog",
)
WEIGHT_INITIALIZERS = _child(root.WEIGHT_INITIALIZERS, "mms_ocr.models")
TASK_UTILS = _child(root.TASK_UTILS, "mms_ocr.masking")

_DATA = (
    "benchmark", "loading", "mixed", "rendered_words", "samplers", "seeded", "transforms",
    "word_images", "word_masks", "word_pairs",
)  # fmt: skip
_DATA_MODULES = [f"mms_ocr.datasets.{name}" for name in _DATA]
DATASETS = _child(root.DATASETS, *_DATA_MODULES)
TRANSFORMS = _child(
    root.TRANSFORMS,
    *_DATA_MODULES,
    PackLabelledWord="mms_ocr.datasets.transforms.pack_labelled",
)
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, *_DATA_MODULES)
FUNCTIONS = _child(root.FUNCTIONS, *_DATA_MODULES)

METRICS = _child(
    root.METRICS,
    "mms_ocr.evaluation",
    RestoredWordAccuracy="mms_ocr.evaluation.restored_words",
    WordBenchmark="mms_ocr.evaluation.word_benchmark",
)

HOOKS = _child(root.HOOKS, "mms_ocr.engine")
LOOPS = _child(root.LOOPS, "mms_ocr.engine")
RUNNERS = _child(root.RUNNERS, "mms_ocr.engine")
LOG_PROCESSORS = _child(root.LOG_PROCESSORS, "mms_ocr.engine")
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS, "mms_ocr.engine")
OPTIMIZERS = _child(root.OPTIMIZERS, "mms_ocr.engine")
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, "mms_ocr.engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS, "mms_ocr.engine")
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, "mms_ocr.engine")
STRATEGIES = _child(root.STRATEGIES, "mms_ocr.engine")

VISUALIZERS = _child(root.VISUALIZERS, "mms_ocr.visualization")
VISBACKENDS = _child(root.VISBACKENDS, "mms_ocr.visualization")
