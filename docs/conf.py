"""Settings of the documentation site, which ``make docs`` builds.

The sources are the Markdown files of the repository, README.md first, so that a link that works
on the site works in the repository as well.
"""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]  # site_parts here, and mms_ocr of this checkout

import mms_ocr  # noqa: E402

project = "mms_ocr"
author = "the mms_ocr contributors"
version = release = mms_ocr.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "site_parts",
]
root_doc = "README"
include_patterns = ["*.md", "docs/**", "configs/*/README.md", "projects/studies/*/README.md"]
exclude_patterns = [".*", "docs/_build", "**/.ipynb_checkpoints"]
nitpicky = True
nitpick_ignore = [("py:class", "TextRecInferencer")]  # MMOCR's, imported for type checks only

# The pages of the site, by caption; site_parts adds them to README.md.
contents = {
    "Start": ["docs/get_started", "docs/idea", "docs/install"],
    "Tasks": [
        "docs/adapt",
        "docs/pretraining",
        "docs/reading",
        "docs/recognition",
        "docs/swap_in",
        "docs/segmentation",
        "docs/super_resolution",
        "docs/web",
    ],
    "Notebooks": ["docs/notebooks/better_reader", "docs/notebooks/what_masking_teaches"],
    "Weights and data": ["docs/weights", "docs/data", "docs/rendering"],
    "In production": ["docs/deploy"],
    "At scale": ["docs/scaling", "docs/reliability"],
    "Reference": [
        "docs/commands",
        "docs/analysis_tools",
        "docs/configs",
        "docs/api/index",
        "docs/results/README",
    ],
    "Project": ["CONTRIBUTING", "docs/code_layout", "CODE_OF_CONDUCT", "CHANGELOG"],
}
# Pages below a page.
contents_below = {
    "docs/results/README": [
        *sorted(f"/docs/results/{path.stem}" for path in DOCS.glob("results/[a-z]*.md")),
        "/projects/studies/masking/README",
        "/projects/studies/weights/README",
    ],
    "docs/configs": [
        f"/configs/{name}/README"
        for name in ("mms", "textrecog", "segmentation", "super_resolution")
    ],
}

myst_heading_anchors = 4  # as on GitHub
# Outputs of notebooks are stored in them; make notebooks executes them.
nb_execution_mode = "off"

autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"mms_ocr {version}"
html_static_path = ["_site"]
html_css_files = ["site.css"]
html_extra_path = ["_site/index.html"]
html_copy_source = False
html_show_sphinx = False
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
