"""A Vision Transformer with timm's names, written slowly and plainly, and files of its family."""

import argparse

import torch
from torch import nn

DIM, DEPTH, HEADS, GRID = 24, 2, 3, (8, 32)
ARCH = dict(embed_dims=DIM, num_layers=DEPTH, num_heads=HEADS, feedforward_channels=48)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM)
        self.proj = nn.Linear(DIM, DIM)

    def forward(self, tokens):
        width = DIM // HEADS
        query, key, value = self.qkv(tokens).split(DIM, dim=-1)
        outs = []
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            scores = query[..., part] @ key[..., part].transpose(1, 2) / width**0.5
            outs.append(scores.softmax(-1) @ value[..., part])
        return self.proj(torch.cat(outs, dim=-1))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(DIM, 2 * DIM)
        self.fc2 = nn.Linear(2 * DIM, DIM)

    def forward(self, tokens):
        return self.fc2(nn.functional.gelu(self.fc1(tokens)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(DIM, eps=1e-6)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(DIM, eps=1e-6)
        self.mlp = Mlp()

    def forward(self, tokens):
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class TimmStyle(nn.Module):
    """Encoder with timm's names; all tokens are returned, the class token first."""

    def __init__(self, classes=0, positions=None):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, DIM))
        length = GRID[0] * GRID[1] + 1
        self.pos_embed = nn.Parameter(torch.randn(1, length, DIM))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, DIM, 4, 4)
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(DIM, eps=1e-6)
        if classes:
            self.head = nn.Linear(DIM, classes)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name != "pos_embed":
                    parameter.copy_(torch.randn_like(parameter) * 0.2)
            if positions is not None:
                self.pos_embed.copy_(positions)

    def forward(self, images):
        tokens = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.norm(self.blocks(tokens + self.pos_embed))


def mae_positions(dim=DIM, side=16):
    """Compute MAE's positions of a square grid, one at a time: half column, half row."""
    rows = [torch.zeros(dim)]
    for row in range(side):
        for column in range(side):
            parts = []
            for place in (column, row):
                angles = torch.tensor([place / 10000 ** (i / (dim // 4)) for i in range(dim // 4)])
                parts += [angles.sin(), angles.cos()]
            rows.append(torch.cat(parts))
    return torch.stack(rows)[None]


def mae_checkpoint(encoder):
    """As the official MAE and Union14M's pretraining write it, decoder and options included."""
    weights = dict(encoder.state_dict())
    weights["mask_token"] = torch.randn(1, 1, 16)
    weights["decoder_pos_embed"] = torch.randn(1, 257, 16)
    for name, shape in {
        "decoder_embed.weight": (16, DIM),
        "decoder_embed.bias": (16,),
        "decoder_blocks.0.norm1.weight": (16,),
        "decoder_blocks.0.attn.qkv.weight": (48, 16),
        "decoder_norm.weight": (16,),
        "decoder_pred.weight": (48, 16),
    }.items():
        weights[name] = torch.randn(shape)
    options = argparse.Namespace(model="mae_vit_small", blr=1.5e-4, norm_pix_loss=True)
    return {"model": weights, "optimizer": {"state": {}}, "epoch": 19, "args": options}
