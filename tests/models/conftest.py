"""Models are tested against MMPretrain, which may need the shims to be imported."""

import mms_ocr  # noqa: F401
