"""Images out of the encoder: cutting text out of its background and sharpening it."""
