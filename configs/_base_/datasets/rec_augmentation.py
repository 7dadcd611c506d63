# What training does to real words: MAERec's augmentation, all after the resize to 32x128.
# Half of them are turned, sheared or tilted. A quarter loses resolution, and of these half gets
# noise and half is blurred as by motion. A quarter changes color.
augmentation = [
    dict(type="mms_ocr.WarpWord", prob=0.5, degrees=15, shear=45, min_scale=0.5, distortion=0.5),
    dict(type="mms_ocr.BlurWord", prob=0.25, min_scale=0.25, noise=4.5, motion=7),
    dict(
        type="RandomApply",
        prob=0.25,
        transforms=dict(
            type="mmocr.TorchVisionWrapper",
            op="ColorJitter",
            brightness=0.5,
            contrast=0.5,
            saturation=0.5,
            hue=0.1,
        ),
    ),
]
