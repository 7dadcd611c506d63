#!/usr/bin/env bash
# Run MMOCR's own recognition tests after `import mms_ocr`: that what makes MMOCR 1.0.1 import on
# today's stack leaves it working as its authors meant it to.
#
#   git clone --branch v1.0.1 --depth 1 https://github.com/open-mmlab/mmocr
#   pip install parameterized
#   tests/acceptance/mmocr_tests.sh mmocr [further options of pytest]
#
# The tests are those of the checkout, the code under test is the MMOCR that is installed.
set -euo pipefail

if [ $# -lt 1 ]; then
    echo "usage: $0 CHECKOUT_OF_MMOCR [options of pytest]" >&2
    exit 2
fi
checkout=$1
shift
tests=(
    tests/test_models/test_textrecog
    tests/test_datasets/test_recog_lmdb_dataset.py
    tests/test_datasets/test_recog_text_dataset.py
    tests/test_datasets/test_transforms/test_textrecog_transforms.py
    tests/test_evaluation/test_metrics/test_recog_metric.py
    tests/test_structures/test_textrecog_data_sample.py
    tests/test_visualization/test_textrecog_visualizer.py
)
for test in "${tests[@]}"; do
    if [ ! -e "$checkout/$test" ]; then
        echo "$0: $checkout is no checkout of MMOCR 1.0.1: it has no $test" >&2
        exit 2
    fi
done
if ! "${PYTHON:-python}" -c "import parameterized, pytest" 2>/dev/null; then
    echo "$0: MMOCR's tests need pytest and parameterized: pip install pytest parameterized" >&2
    exit 2
fi

# By its path: the tests run in a copy without MMOCR's package, which would hide the installed one.
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$checkout/tests" "$copy/"
for folder in configs dicts; do
    if [ -d "$checkout/$folder" ]; then cp -r "$checkout/$folder" "$copy/"; fi
done
cd "$copy"
PYTHONPATH="$repository${PYTHONPATH:+:$PYTHONPATH}" "${PYTHON:-python}" -m pytest \
    -p mms_ocr -p no:cacheprovider --rootdir "$copy" -q "${tests[@]}" "$@"
