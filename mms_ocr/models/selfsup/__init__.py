"""Masked pretraining: the algorithm, its decoders, head, contrastive term and preprocessor."""
