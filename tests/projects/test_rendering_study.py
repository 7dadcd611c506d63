"""The study of the renderer: its measures, its recognizer, and what it makes only once."""

import json
import sys

import numpy as np
import pytest
import torch


@pytest.fixture
def study(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "projects" / "studies"))
    import rendering

    yield rendering
    for name in ("rendering", "small_recognizer", "runs"):
        sys.modules.pop(name, None)


@pytest.fixture
def recognizer(study):
    return sys.modules["small_recognizer"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [("Caf\u00e9 No.5!", "cafno5"), ("[06]", "06"), ("--", ""), ("\u00df\u0131", "")],
)
def test_only_letters_and_digits_count(recognizer, text, kept):
    assert recognizer.normalize(text) == kept


def test_a_path_loses_repeats_and_then_blanks(recognizer):
    blank = len(recognizer.CHARACTERS)
    places = [recognizer.CHARACTERS.index(char) for char in "hheello"]
    path = [blank, *places[:4], places[4], blank, places[5], places[6], places[6], blank]
    assert recognizer.collapse(path) == "hello"
    assert recognizer.collapse([blank] * 4) == ""


def test_scores_by_hand(study):
    scores = study.Scores.of(["abc", "abd", ""], ["abc", "abc", "xy"])
    assert scores.correct.tolist() == [True, False, False]
    assert scores.distances.tolist() == [0, 1, 2]
    assert scores.characters == 8
    assert scores.cells() == "33.3% | 37.5% | 55.6%"  # 3 of 8; mean of 1, 2/3 and 0


def test_difference_is_paired(study):
    first = study.Scores.of(["a", "b", "x", "d"], ["a", "b", "c", "d"])
    other = study.Scores.of(["a", "x", "x", "x"], ["a", "b", "c", "d"])
    # Differences 0, 1, 0, 1: mean 0.5, deviation 0.5, so 1.96 * 50 / 2.
    assert study.difference(first, other) == "+50.0 \u00b1 49.0 points"


def test_images_become_gray_inputs(recognizer):
    image = np.zeros((50, 90, 3), np.uint8)
    image[:, :, 2] = 255  # red in BGR
    gray = recognizer.to_input(image)
    assert gray.shape == (32, 128)
    assert (gray == 76).all()


def test_brightness_and_contrast_do_not_matter(recognizer):
    torch.manual_seed(0)
    model = recognizer.SmallRecognizer().eval()
    image = np.random.default_rng(0).integers(60, 180, (1, 32, 128)).astype(np.uint8)
    with torch.inference_mode():
        scores = model(torch.from_numpy(image))
        lighter = model(torch.from_numpy(image + np.uint8(40)))
    assert scores.shape == (32, 1, 37)
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(32, 1))
    torch.testing.assert_close(scores, lighter, atol=0.02, rtol=0)


def bars(labels, rng):
    """Bright columns for "a", bright rows for "b", in noise."""
    images = rng.integers(0, 60, (len(labels), 32, 128))
    for image, label in zip(images, labels):
        if label == "a":
            image[:, ::4] += 150
        else:
            image[::4] += 150
    return images.astype(np.uint8)


def test_training_converges_and_is_reproducible(recognizer):
    rng = np.random.default_rng(0)
    labels = ["ab"[index % 2] for index in range(64)]
    images = bars(labels, rng)
    lines = []
    settings = dict(epochs=12, batch_size=16, lr=3e-3, progress=lines.append)
    model = recognizer.train(images, labels, **settings)
    assert recognizer.read(model, bars(labels, rng)) == labels
    assert len(lines) == 12
    assert lines[0].startswith("epoch 1 of 12: loss ")
    shorter = settings | dict(epochs=1)
    model, again = (recognizer.train(images, labels, **shorter) for _ in range(2))
    for first, second in zip(model.parameters(), again.parameters()):
        torch.testing.assert_close(first, second)


def test_too_few_images_for_a_batch(recognizer):
    with pytest.raises(ValueError, match="3 images are less than one batch of 8"):
        recognizer.train(np.zeros((3, 32, 128), np.uint8), ["a"] * 3, epochs=1, batch_size=8)


def settings_for(difficulty):
    return dict(num_samples=6, seed=3, words=["Some", "words"], case="mixed", difficulty=difficulty)


def test_variants_share_texts_and_differ_in_appearance(study, tmp_path):
    for difficulty in (0.0, 0.5):
        study.render(settings_for(difficulty), tmp_path / f"{difficulty}", workers=0)
    plain, full = (study.load(tmp_path / name, "image") for name in ("0.0", "0.5"))
    undegraded = study.load(tmp_path / "0.5", "clean")
    assert plain.labels == full.labels == undegraded.labels
    assert full.images.shape == (len(full.labels), 32, 128)
    assert (plain.images != full.images).any()
    assert (undegraded.images != full.images).any()
    np.testing.assert_array_equal(plain.images, study.load(tmp_path / "0.0", "clean").images)


def test_existing_results_are_not_made_again(study, tmp_path):
    study.note_down(tmp_path, "words", dict(count=3, fonts=None, seconds=1.5))
    assert study.is_there(tmp_path, "words", dict(count=3, fonts=None))
    assert not study.is_there(tmp_path, "training", dict(count=3))
    with pytest.raises(ValueError, match=r"words.json: was made with count 3, not 4; give another"):
        study.is_there(tmp_path, "words", dict(count=4, fonts=None))
    assert json.loads((tmp_path / "words.json").read_text())["count"] == 3


def test_missing_test_set_gives_one_line(study, tmp_path, monkeypatch, capsys):
    missing = str(tmp_path / "no.jsonl")
    monkeypatch.setattr(sys, "argv", ["study_rendering.py", "--test", missing])
    with pytest.raises(SystemExit, match=r"rendering\.py: .*no\.jsonl"):
        study.main()
    assert capsys.readouterr().err == ""
