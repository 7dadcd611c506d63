"""The comparison of readers by speed: its arithmetic, its processes, its tables."""

import cv2
import numpy as np
import pytest

from mms_ocr.rendering import FontCollection, TextSource, WordRenderer

READER = "mms_ocr:mms_vit_n_ctc:onnx"


@pytest.fixture
def bench(tool):
    return tool("benchmarks/bench_readers.py")


@pytest.fixture
def rendered(tmp_path):
    renderer = WordRenderer(FontCollection(), TextSource())
    for index in range(8):
        cv2.imwrite(str(tmp_path / f"{index}.png"), renderer.render(index).image)
    return tmp_path


class Worker:
    """Takes twice as long by the clock as by the processor, and longer from call to call."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.calls = []

    def ask(self, batch, count):
        self.calls.append((batch, count))
        taken = count * self.seconds[min(len(self.calls), len(self.seconds)) - 1]
        return dict(processor=taken, wall=2 * taken)


def test_a_ratio_is_the_median_of_those_of_the_rounds(bench, rendered):
    args = bench.parse_args(["--images", str(rendered), "--rounds", "3", "--seconds", "1"])
    measuring = object.__new__(bench.Bench)
    measuring.args, measuring.count = args, 64
    own, reference = Worker([9, 0.25, 0.2, 0.1, 0.25]), Worker([9, 0.25, 0.1, 0.1, 0.1])
    speed = measuring._speed(own, reference, 1, "processor")
    assert (speed.median, speed.low, speed.high) == pytest.approx((5, 4, 10))
    assert speed.ratio == pytest.approx(0.5)
    assert own.calls == [(1, 1), (1, 1), (1, 2), (1, 2), (1, 2)]
    assert measuring._speed(Worker([0.5]), Worker([1]), 32, "wall").median == pytest.approx(1)


def test_words_are_the_same_for_all_readers(bench, rendered):
    assert bench.write_words(rendered / "words.npz", str(rendered), 5) == 5
    originals = [cv2.imread(str(rendered / f"{index}.png")) for index in (0, 2, 4, 5, 7)]
    with np.load(rendered / "words.npz") as stored:
        for image in originals:
            assert sum(np.array_equal(image, stored[name]) for name in stored) == 1


def test_a_reader_is_measured_and_a_missing_one_listed(bench, rendered, capsys):
    pytest.importorskip("onnxruntime")
    given = ["--images", str(rendered), "--readers", READER, "rapidocr:none", "--threads", "1"]
    short = ["--batches", "1", "8", "--rounds", "2", "--seconds", "0", "--starts", "1"]
    bench.main(given + short)
    lines = capsys.readouterr().out.splitlines()
    tables = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    speeds, costs = tables[:3], tables[3:]
    assert "8 words of" in lines[0]
    assert speeds[0] == ["reader", "batch 1, words/s", "ratio", "batch 8, words/s", "ratio"]
    assert speeds[2][0] == "`mms_vit_n_ctc`, onnx"
    for speed, ratio in (speeds[2][1:3], speeds[2][3:5]):
        low, high = map(float, speed.replace(",", "").split("(")[1].strip(")").split("–"))
        assert 0 < low <= float(speed.split()[0].replace(",", "")) <= high
        assert 0.1 < float(ratio) < 10
    assert costs[2][0] == "`mms_vit_n_ctc`, onnx"
    megabytes, memory, loading = map(float, costs[2][2:5])
    assert megabytes == pytest.approx(2.6, abs=0.3)
    assert memory > 20
    assert 0 < loading < float(costs[2][5].split()[0])
    assert [line for line in lines if line.startswith("Not measured: rapidocr `none`")] == [
        "Not measured: rapidocr `none`: ModuleNotFoundError: No module named 'rapidocr'"
    ]


def test_an_unknown_package_ends_with_status_2(bench):
    with pytest.raises(SystemExit) as ended:
        bench.parse_args(["--images", "x", "--readers", "keras:ocr"])
    assert ended.value.code == 2
