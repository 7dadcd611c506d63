# What training does to real words: MAERec's augmentation, all after the resize to 32x128.
# Half of them are turned, sheared or tilted (mms_ocr.WarpWord: torchvision's transforms would push
# letters out of the picture). A quarter loses resolution, and of these half gets noise and half is
# blurred as by motion. A quarter changes colour.
augmentation = [
    dict(
        type="RandomApply",
        prob=0.5,
        transforms=[
            dict(type="mms_ocr.WarpWord", degrees=15, shear=45, min_scale=0.5, distortion=0.5)
        ],
    ),
    dict(
        type="RandomApply",
        prob=0.25,
        transforms=[
            # Between 512x128 and 32x8 pixels. Fixed factors: a factor that PyramidRescale draws
            # itself is the largest one of the next draw, and ends up as 0.
            dict(
                type="RandomChoice",
                transforms=[
                    [
                        dict(
                            type="mmocr.PyramidRescale",
                            factor=factor,
                            base_shape=(512, 128),
                            randomize_factor=False,
                        )
                    ]
                    for factor in range(5)
                ],
            ),
            dict(
                type="RandomApply",
                prob=0.5,
                transforms=[
                    dict(
                        type="mmocr.ImgAugWrapper",
                        args=[dict(cls="AdditiveGaussianNoise", scale=4.5, per_channel=True)],
                        fix_poly_trans=None,
                    )
                ],
            ),
            dict(
                type="RandomApply",
                prob=0.5,
                transforms=[
                    dict(
                        type="mmocr.ImgAugWrapper",
                        args=[dict(cls="MotionBlur", k=[3, 7])],
                        fix_poly_trans=None,
                    )
                ],
            ),
        ],
    ),
    dict(
        type="RandomApply",
        prob=0.25,
        transforms=[
            dict(
                type="mmocr.TorchVisionWrapper",
                op="ColorJitter",
                brightness=0.5,
                contrast=0.5,
                saturation=0.5,
                hue=0.1,
            )
        ],
    ),
]
