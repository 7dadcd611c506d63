# Where the data of the recipes are. Two variables of the environment name them:
#   WORDS     folder of real words: iiit5k/, icdar2015/, …
#   RENDERED  LMDB of rendered words with the boxes of their characters (README.md has the command)
real = "{{$WORDS:data/words}}/"
rendered_path = "{{$RENDERED:data/rendered.lmdb}}"
labelled = [
    real + name + "/train.jsonl" for name in ("iiit5k", "icdar2015", "icdar2003", "born_digital")
]
# Labels of SVT are upper case whatever the image shows: its words are pretrained on alone.
scene_words = [
    real + name + ".jsonl"
    for name in (
        "mlt17_latin/unlabelled",
        "icdar2015_regions/unlabelled",
        "iiit5k/train",
        "icdar2015/train",
        "svt/train",
        "icdar2003/train",
        "born_digital/train",
    )
]

# Training in one process, on a core of its own, beside one that reads.
loader = dict(num_workers=1, persistent_workers=True, pin_memory=False)
held_out_loader = dict(num_workers=0, persistent_workers=False)
