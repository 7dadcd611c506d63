"""Packaging of mms_ocr: its version, what it needs, and the configs and tools that it carries."""

import ast
import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# MMEngine, mim and mms-ocr doctor look for these under .mim in an installed package.
MIM_PARTS = ("configs", "requirements", "tools", "model-index.yml")
# Address of the repository, once it is published; the links of the package follow from it.
URL = ""
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.pyc")


def version() -> str:
    """``__version__`` of the package, without importing it."""
    for node in ast.parse((ROOT / "mms_ocr/__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__":
            return str(ast.literal_eval(node.value))
    raise ValueError("mms_ocr/__init__.py sets no __version__")


def project_urls() -> dict[str, str]:
    """Links of the package's page: the paper, and the repository's if it has an address."""
    urls = {"Paper": "https://arxiv.org/abs/2505.06855"}
    if URL:
        urls |= {
            "Source": URL,
            "Documentation": f"{URL}/tree/main/docs",
            "Changelog": f"{URL}/blob/main/CHANGELOG.md",
            "Issues": f"{URL}/issues",
        }
    return urls


def requirements(*names: str) -> list[str]:
    """Requirements of the files requirements/NAME.txt, without comments."""
    lines: list[str] = []
    for name in names:
        lines += (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


class BuildWithMim(build_py):
    """Puts ``.mim`` into the package: copies in a wheel, links in an editable install."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            fill_mim(ROOT / "mms_ocr/.mim", link=True)
        else:
            fill_mim(Path(self.build_lib, "mms_ocr/.mim"), link=False)


def fill_mim(target: Path, link: bool) -> None:
    """Make the folder ``target`` hold MIM_PARTS, by link where asked for and possible."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for part in MIM_PARTS:
        source, place = ROOT / part, target / part
        if link:
            try:
                place.symlink_to(os.path.relpath(source, target), source.is_dir())
                continue
            except OSError:
                pass  # Windows without the right to make links: copied, as in a wheel
        if source.is_dir():
            shutil.copytree(source, place, ignore=NOT_SHIPPED)
        else:
            shutil.copy2(source, place)


setup(
    name="mms_ocr",
    version=version(),
    description="Masked pretraining of text encoders for MMOCR",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The mms_ocr contributors",
    url=URL or None,
    project_urls=project_urls(),
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=["mms_ocr", "mms_ocr.*"]),
    include_package_data=False,
    package_data={
        "": ["*.txt", "*.json", "*.yml", "*.typed", "*.css", "*.js"],
        "mms_ocr": ["zoo/*.safetensors", "zoo/*.onnx"],
    },
    # Neither torch nor an OpenMMLab package by name: they come in upstream and in onedl builds, and
    # installing mms_ocr must not put one beside the other.
    install_requires=requirements("runtime"),
    extras_require={
        "openmmlab": requirements("openmmlab"),
        "mmocr": requirements("mmocr"),
        "onnx": requirements("onnx"),
        "export": requirements("export"),
        "dev": requirements("dev"),
        "docs": requirements("docs"),
        "web": requirements("web"),
    },
    entry_points={"console_scripts": ["mms-ocr = mms_ocr.cli.main:main"]},
    cmdclass={"build_py": BuildWithMim},
    keywords=[
        "OCR",
        "text recognition",
        "scene text",
        "masked image modeling",
        "vision transformer",
        "self-supervised learning",
        "text segmentation",
        "super-resolution",
        "MMOCR",
        "MMEngine",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    zip_safe=False,
)
