"""Draw the attention of an encoder over word images: a row for each image, a column for each layer.

The heads of a layer are averaged; with --heads, rows are images and layers, and columns are heads.
"""

import argparse
import sys
from itertools import islice

import cv2
import numpy as np
import torch
from mmengine.config import Config

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.input_images import input_images
from mms_ocr.apis.pictures import check_picture
from mms_ocr.apis.tasks import PRETRAINING, choose_weights
from mms_ocr.apis.trained_models import find_task, load_config
from mms_ocr.cli.word_options import add_weights_options, check_no_checkpoints
from mms_ocr.datasets.transforms import resize_word_image
from mms_ocr.models import PretrainedTextViT, attention_maps, attention_rollout
from mms_ocr.models.image_preprocessor import ImagePreprocessor
from mms_ocr.registry import MODELS, type_name
from mms_ocr.utils.devices import usable_device
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.files import write_image
from mms_ocr.visualization import draw_heat, draw_text, picture_grid

SCALE = 2  # enlargement of the images
MARK = (0, 200, 255)  # RGB of the frame around the patch of --query


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "images", nargs="+", help="word images, folders, LMDBs or files of JSON lines"
    )
    add_weights_options(parser, "encoder")
    parser.add_argument(
        "--out", default="attention.png", help="picture to write (default: %(default)s)"
    )
    parser.add_argument("--num", type=int, default=8, help="images to draw (default: %(default)s)")
    parser.add_argument(
        "--query",
        default="cls",
        metavar="cls|ROW,COLUMN",
        help="whose attention: the class token, or a patch of the grid (default: %(default)s)",
    )
    parser.add_argument("--layers", type=int, nargs="+", help="layers to draw, from 1 (all)")
    parser.add_argument("--heads", action="store_true", help="a column for each head")
    parser.add_argument(
        "--rollout", action="store_true", help="add attention rolled out through all layers"
    )
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args()


def load_encoder(config: str | None, weights: str) -> tuple[Config, torch.nn.Module]:
    """Load the config of a checkpoint of any task, and its encoder with the weights."""
    if config is None:
        cfg = load_config(None, weights, find_task(weights))
    else:
        cfg = Config.fromfile(find_config(config))
    backbone = (cfg.get("model") or {}).get("backbone") or {}
    if type_name(backbone) != "TextViT":
        raise ValueError(f"{cfg.filename} has no TextViT: its backbone is {backbone.get('type')}")
    encoder = MODELS.build({**backbone, "init_cfg": None})
    PretrainedTextViT(weights)(encoder)
    return cfg, encoder.eval()


def find_query(query: str, encoder: torch.nn.Module) -> int | None:
    """Return the index of the patch that ``--query`` names, None for the class token."""
    rows, columns = encoder.grid
    if query == "cls":
        if encoder.cls_token is None:
            raise ValueError("the encoder has no class token: give --query ROW,COLUMN")
        return None
    try:
        row, column = (int(part) for part in query.split(","))
    except ValueError:
        raise ValueError(f"--query must be cls or ROW,COLUMN, got {query!r}") from None
    if not (0 <= row < rows and 0 <= column < columns):
        raise ValueError(f"--query {query} is outside of the grid of {rows}×{columns} patches")
    return row * columns + column


def choose_layers(layers: list[int] | None, depth: int) -> list[int]:
    """Return the indices, from 0, of the layers of ``--layers``."""
    if wrong := [layer for layer in layers or [] if not 1 <= layer <= depth]:
        raise ValueError(f"--layers has {wrong[0]}, and the encoder has layers 1 to {depth}")
    return [layer - 1 for layer in layers] if layers else list(range(depth))


def draw(args: argparse.Namespace) -> None:
    """Draw the sheet."""
    weights = choose_weights(args.weights, PRETRAINING)
    check_picture(args.out, [path for path in (args.config, weights, *args.images) if path])
    cfg, encoder = load_encoder(args.config, weights)
    if args.num < 1:
        raise ValueError(f"--num is {args.num}; give at least 1")
    layers, query = choose_layers(args.layers, encoder.num_layers), find_query(args.query, encoder)
    device = usable_device(args.device)
    check_no_checkpoints(args.images)
    pictures = [
        resize_word_image(item.image, encoder.img_size, "bicubic")
        for item in islice(input_images(args.images), args.num)
    ]
    settings = cfg.model.get("data_preprocessor") or {}
    known = {key: settings[key] for key in ("mean", "std", "bgr_to_rgb") if key in settings}
    preprocessor = ImagePreprocessor(**known).to(device)
    images = preprocessor.stack(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2))
    maps = attention_maps(encoder.to(device), preprocessor.normalize(images))
    token = 0 if query is None else query + encoder.num_extra_tokens

    def of_patches(attention: torch.Tensor) -> np.ndarray:
        """Take the row of the query, without the class token, ``(…, rows, columns)``."""
        row = attention[..., token, encoder.num_extra_tokens :]
        return row.unflatten(-1, encoder.grid).cpu().numpy()

    values = of_patches(maps)
    rollout = of_patches(attention_rollout(maps))
    names = [f"layer {layer + 1}" for layer in layers]
    labels = ["image", *names]
    if args.heads:
        labels = ["image", "", *(f"head {head + 1}" for head in range(values.shape[2]))]
    rows = []
    for number, image in enumerate(pictures):
        picture = image[:, :, ::-1].repeat(SCALE, 0).repeat(SCALE, 1)
        marked = mark_patch(picture, query, encoder.grid)
        last = [draw_heat(picture, rollout[number])] if args.rollout else []
        if args.heads:
            for name, layer in zip(names, layers):
                heads = [draw_heat(picture, head) for head in values[layer, number]]
                rows.append([marked, draw_text(name, len(picture), 96), *heads, *last])
        else:
            means = [draw_heat(picture, values[layer, number].mean(axis=0)) for layer in layers]
            rows.append([marked, *means, *last])
    labels += ["rollout"] if args.rollout else []
    write_image(args.out, picture_grid(rows, labels)[:, :, ::-1])
    print(f"attention of {weights} over {len(images)} images: {args.out}")


def mark_patch(picture: np.ndarray, patch: int | None, grid: tuple[int, int]) -> np.ndarray:
    """Frame a patch in a copy of the picture; None frames none."""
    marked = picture.copy()
    if patch is not None:
        row, column = divmod(patch, grid[1])
        height, width = len(picture) // grid[0], picture.shape[1] // grid[1]
        corner = (column * width, row * height)
        cv2.rectangle(marked, corner, (corner[0] + width - 1, corner[1] + height - 1), MARK, 2)
    return marked


if __name__ == "__main__":
    sys.exit(run_program("attention_maps.py", parse_args, draw))
