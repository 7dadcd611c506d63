"""The table of a test of super-resolution."""

from mms_ocr.evaluation.restored_images import restored_notes, restored_table

READ = "word_acc_ignore_case_symbol"


def quality(prefix, start):
    names = ("PSNR", "PSNR_batch", "SSIM", "SSIM_batch")
    return {
        f"{prefix}{name}": value
        for name, value in zip(names, (start, start - 1, start / 100, start / 90))
    }


def cells(table):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]


def test_table_without_word_accuracy():
    table = restored_table(quality("", 25) | quality("bicubic/", 22.125))
    assert cells(table) == [
        ["words", "image", "PSNR, dB", "PSNR_batch, dB", "SSIM", "SSIM_batch"],
        ["-----", "-" * 12 + ":", "-------:", "-" * 13 + ":", "-----:", "---------:"],
        ["all", "bicubic (LR)", "22.12", "21.12", "0.2213", "0.2458"],
        ["all", "restored (SR)", "25.00", "24.00", "0.2500", "0.2778"],
    ]
    assert restored_notes(quality("", 25)) == []


def test_subsets_and_words():
    metrics = {}
    for prefix, start, right in (("", 24, 0.25), ("easy/", 26, 0.5), ("hard/", 20, 0.125)):
        metrics |= quality(prefix, start) | quality(f"bicubic/{prefix}", start - 2)
        for kind, share in zip(("LR", "SR", "HR", "gained", "lost"), (1, 1.5, 2, 0.6, 0.1)):
            metrics[f"{prefix}{kind}/{READ}"] = right * share
    rows = cells(restored_table(metrics))
    assert rows[0][-1] == "read, %"
    assert [(row[0], row[1], row[2], row[-1]) for row in rows[2:]] == [
        ("easy", "bicubic (LR)", "24.00", "50.0"),
        ("easy", "restored (SR)", "26.00", "75.0"),
        ("easy", "true (HR)", "", "100.0"),
        ("hard", "bicubic (LR)", "18.00", "12.5"),
        ("hard", "restored (SR)", "20.00", "18.8"),
        ("hard", "true (HR)", "", "25.0"),
        ("all", "bicubic (LR)", "22.00", "25.0"),
        ("all", "restored (SR)", "24.00", "37.5"),
        ("all", "true (HR)", "", "50.0"),
    ]
    (note,) = restored_notes(metrics)
    assert note.startswith("Read: letters and digits only, ignoring case. Of all words, 15.0 % ")
    assert "and 2.5 % the other way round" in note


def test_other_metrics_give_no_table():
    assert restored_table({"foreground/iou_dataset": 0.5}) == ""
    rows = cells(restored_table({"PSNR": 30.0}))  # no SSIM and no baseline
    assert rows[2][2:] == ["", "", "", ""]
    assert rows[3][2:] == ["30.00", "", "", ""]
