"""The parts that mms_ocr stands on: oldest versions that serve, and what to install for each."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass, field


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Part:
    """A module that is looked for: oldest version that serves, and what to install for it.

    Attributes:
        imported: what is imported to see whether it works, where the module itself says too little.
        upstream: what to install instead beside an upstream MMEngine.
        others: further distributions that bring the module.
        without_dependencies: its own requirements do harm, so it is installed without them.
    """

    module: str
    minimum: str
    install: str
    needed: bool = True
    imported: str = ""
    upstream: str = ""
    others: tuple[str, ...] = ()
    without_dependencies: bool = False

    def distributions(self) -> list[str]:
        """Those installed of the distributions that bring the module."""
        specs = (self.install, self.upstream)
        names = [re.split(r"[<>=]", spec)[0] for spec in specs if spec]
        return [name for name in dict.fromkeys([*names, *self.others]) if installed_version(name)]

    def spec(self, upstream: bool) -> str:
        """What to install, beside an upstream MMEngine or not."""
        return (self.upstream or self.install) if upstream else self.install


@dataclass
class Finding:
    """What was found of one part.

    Attributes:
        state: ok, missing, too old or broken.
        lacks: the module whose absence or fault breaks it, where that is known.
        library: the library of the system that it does not find.
        mendable: false where the part is whole but refuses its surroundings, which installing it
            again leaves as is.
    """

    module: str
    needed: bool
    state: str
    version: str | None = None
    distributions: list[str] = field(default_factory=list)
    detail: str = ""
    lacks: str | None = None
    library: str | None = None
    mendable: bool = True


PARTS = (
    Part("torch", "2.5", "torch>=2.5"),
    Part("torchvision", "0.20", "torchvision>=0.20"),
    Part("numpy", "1.23", "numpy>=1.23"),
    Part(
        "cv2",
        "4.5.5",
        "opencv-python>=4.5.5",
        others=(
            "opencv-python-headless",
            "opencv-contrib-python",
            "opencv-contrib-python-headless",
        ),
    ),
    Part("PIL", "9.2", "Pillow>=9.2", others=("pillow-simd",)),
    Part("imagehash", "4.3", "ImageHash>=4.3"),
    Part("lmdb", "1.3", "lmdb>=1.3"),
    Part("matplotlib", "3.5", "matplotlib>=3.5"),
    Part("rich", "12", "rich>=12"),
    Part("safetensors", "0.4.3", "safetensors>=0.4.3"),
    Part("skimage", "0.19", "scikit-image>=0.19"),
    Part("simplejpeg", "1.8", "simplejpeg>=1.8"),
    Part("tqdm", "4.62", "tqdm>=4.62"),
    Part(
        "mmengine",
        "0.8.3",
        "onedl-mmengine>=0.10.10,<1.0",
        upstream="mmengine>=0.10,<1.0",
        others=("mmengine-lite",),
    ),
    Part(
        "mmcv",
        "2.0.0",
        "onedl-mmcv>=2.3,<2.4",
        upstream="mmcv-lite>=2.0.1,<2.2",
        others=("mmcv", "mmcv-full"),
    ),
    Part(
        "mmpretrain",
        "1.0.0",
        "onedl-mmpretrain>=1.3,<2.0",
        imported="mmpretrain.models",
        upstream="mmpretrain>=1.0,<2.0",
    ),
    # What MMOCR needs comes before it: installed without its requirements, it brings none.
    Part("scipy", "1.8", "scipy>=1.8", needed=False),
    Part("shapely", "2.0", "shapely>=2.0", needed=False),
    Part("pyclipper", "1.3", "pyclipper>=1.3", needed=False),
    Part("pycocotools", "2.0.6", "pycocotools>=2.0.6", needed=False),
    Part("rapidfuzz", "2.0", "rapidfuzz>=2.0", needed=False),
    Part("imageio", "2.20", "imageio>=2.20", needed=False),
    Part("six", "1.16", "six>=1.16", needed=False),
    Part("terminaltables", "3.1", "terminaltables>=3.1", needed=False),
    Part(
        "imgaug",
        "0.4",
        "imaug>=0.4.2,<0.5",
        needed=False,
        others=("imgaug",),
        without_dependencies=True,
    ),
    Part(
        "mmdet",
        "3.0.0",
        "onedl-mmdetection>=3.5,<4.0",
        needed=False,
        upstream="mmdet>=3.1,<3.2",
        without_dependencies=True,
    ),
    Part(
        "mmocr",
        "1.0.0",
        "mmocr==1.0.1",
        needed=False,
        imported="mmocr.models",
        without_dependencies=True,
    ),
)
