#!/usr/bin/env bash
# Build sdist and wheel, install the wheel without torch into a fresh environment, and read a word
# with it in a folder elsewhere. Another Python: PYTHON=python3.12 .github/try_wheel.sh
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
unset PYTHONPATH PYTHONHOME # the package has to come from the wheel
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$python" -m venv "$folder/build"
"$folder/build/bin/pip" install --quiet build
"$folder/build/bin/python" -m build --outdir "$folder/dist" # the wheel from the sdist
wheel=$(echo "$folder"/dist/*.whl)

"$python" -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet "${wheel}[onnx]"
cd "$folder"
export PATH="$folder/env/bin:$PATH"
[[ $(command -v mms-ocr) == "$folder"/* ]]
mms-ocr --version
mms-ocr zoo
python - <<'WORD'
from importlib.util import find_spec

from PIL import Image, ImageDraw, ImageFont

assert find_spec("torch") is None, "torch is installed: this would not try the package without it"
image = Image.new("RGB", (150, 40), "white")
ImageDraw.Draw(image).text((12, 4), "HELLO", fill="black", font=ImageFont.load_default(30))
image.save("word.png")
WORD
mms-ocr read word.png | tee read.txt
grep --quiet --ignore-case "^hello" read.txt
mms-ocr segment word.png --out cut
mms-ocr upscale word.png --out sharp
ls cut sharp
