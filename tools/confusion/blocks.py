"""Ordinary modules of PyTorch that are longer than a line: attention, recurrent layers, blocks of well-known networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention by hand: fused or separate projections, with a relative bias, a mask, or neither."""

    def __init__(self, width: int = 32, heads: int = 4, tokens: int = 16, bias: str = "", fused: bool = True) -> None:
        super().__init__()
        self.heads, self.bias, self.fused = heads, bias, fused
        self.qkv = nn.Linear(width, 3 * width)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.table = nn.Parameter(torch.randn(1 if bias == "shared" else heads, tokens, tokens))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).chunk(3, -1) if self.fused else (self.q(x), self.k(x), self.v(x))
        q, k, v = (t.reshape(batch, tokens, self.heads, -1).transpose(1, 2) for t in (q, k, v))
        scores = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5
        if self.bias == "causal":
            mask = torch.ones(tokens, tokens).triu(1).bool()
            scores = scores.masked_fill(mask, -1e4)
        elif self.bias:
            scores = scores + self.table[None]
        made: Tensor = self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, width))
        return made


class Encoder(nn.Module):
    """A transformer layer: pre- or post-norm, GELU or ReLU."""

    def __init__(self, width: int = 32, pre: bool = True, activation: type[nn.Module] = nn.GELU) -> None:
        super().__init__()
        self.pre, self.attention = pre, Attention(width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), activation(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        for norm, part in zip(self.norms, (self.attention, self.mlp), strict=True):
            x = x + part(norm(x)) if self.pre else norm(x + part(x))
        return x


class Swin(nn.Module):
    """Windows of 4 x 4, optionally shifted, with attention in each."""

    def __init__(self, shift: bool, bias: str = "each") -> None:
        super().__init__()
        self.shift, self.attention = shift, Attention(32, 4, 16, bias)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.roll(x, (-2, -2), (1, 2)) if self.shift else x
        batch, height, width, channels = x.shape
        windows = x.reshape(batch, height // 4, 4, width // 4, 4, channels).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, channels)
        made = self.attention(windows).reshape(batch, height // 4, width // 4, 4, 4, channels)
        x = made.permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)
        return torch.roll(x, (2, 2), (1, 2)) if self.shift else x


class UNet(nn.Module):
    """Two levels with a skip connection; up by a transposed convolution or by interpolation."""

    def __init__(self, up: str) -> None:
        super().__init__()
        self.up = up
        self.first, self.down = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.transposed, self.last = nn.ConvTranspose2d(16, 8, 2, stride=2), nn.Conv2d(16, 4, 3, padding=1)
        self.narrow = nn.Conv2d(16, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.first(x).relu()
        low = self.down(skip).relu()
        high = (
            self.transposed(low) if self.up == "transposed" else F.interpolate(self.narrow(low), scale_factor=2, mode=self.up)
        )
        made: Tensor = self.last(torch.cat((skip, high), 1))
        return made


class ConvNeXt(nn.Module):
    """Depthwise 7 x 7, LayerNorm over the channels, an inverted bottleneck, a layer scale."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(channels, channels, 7, padding=3, groups=channels), nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))
        self.scale = nn.Parameter(torch.randn(channels))

    def forward(self, x: Tensor) -> Tensor:
        made = self.scale * self.mlp(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))
        result: Tensor = x + made.permute(0, 3, 1, 2)
        return result


class Residual(nn.Module):
    """ResNet's basic block, with batch norm."""

    def __init__(self, channels: int = 8, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, stride, 1), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1), nn.BatchNorm2d(channels),
        )  # fmt: skip
        self.short = nn.Conv2d(channels, channels, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = (self.body(x) + self.short(x)).relu()
        return made


class SqueezeExcite(nn.Module):
    """A gate for each channel."""

    def __init__(self, channels: int = 16, gate: str = "sigmoid") -> None:
        super().__init__()
        self.down, self.up, self.gate = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        made = self.up(self.down(x.mean((2, 3), keepdim=True)).relu())
        result: Tensor = x * (made.sigmoid() if self.gate == "sigmoid" else F.hardsigmoid(made))
        return result


class YoloHead(nn.Module):
    """Scores and boxes of a grid: sigmoid, exp, anchors, and their concatenation."""

    def __init__(self, decode: str) -> None:
        super().__init__()
        self.decode, self.conv = decode, nn.Conv2d(16, 3 * 9, 1)
        y, x = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
        self.grid = nn.Buffer(torch.stack((x, y), -1).reshape(1, 16, 1, 2))
        self.anchors = nn.Buffer(torch.rand(1, 1, 3, 2) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.conv(x).reshape(1, 3, 9, 16).permute(0, 3, 1, 2)
        if self.decode == "raw":
            return made.reshape(1, 48, 9)
        centre = (made[..., :2].sigmoid() * 2 - 0.5 + self.grid) * 8
        size = (
            (made[..., 2:4].sigmoid() * 2) ** 2 * self.anchors if self.decode == "v5" else made[..., 2:4].exp() * self.anchors
        )
        return torch.cat((centre, size, made[..., 4:].sigmoid()), -1).reshape(1, 48, 9)


class Distribution(nn.Module):
    """YOLOv8's distances: an expectation over 16 bins for each side."""

    def __init__(self) -> None:
        super().__init__()
        self.bins = nn.Buffer(torch.arange(16.0))

    def forward(self, x: Tensor) -> Tensor:
        return (x.reshape(1, 4, 16, -1).softmax(2) * self.bins[None, None, :, None]).sum(2)


class Lstm(nn.Module):
    """A cell, unrolled over a few steps, with its gates by chunk or by slices."""

    def __init__(self, gates: str, kind: str = "lstm") -> None:
        super().__init__()
        self.gates, self.kind = gates, kind
        self.x, self.h = nn.Linear(8, 32 if kind == "lstm" else 24), nn.Linear(8, 32 if kind == "lstm" else 24)

    def forward(self, x: Tensor) -> Tensor:
        hidden = cell = torch.zeros(1, 8)
        for step in range(3):
            at = x[:, step]
            if self.kind == "gru":
                a, b = self.x(at).chunk(3, -1), self.h(hidden).chunk(3, -1)
                reset, update = (a[0] + b[0]).sigmoid(), (a[1] + b[1]).sigmoid()
                hidden = (1 - update) * (a[2] + reset * b[2]).tanh() + update * hidden
                continue
            made = self.x(at) + self.h(hidden)
            i, f, g, o = made.chunk(4, -1) if self.gates == "chunk" else (made[:, 8 * n : 8 * n + 8] for n in range(4))
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
        return hidden


class Mixer(nn.Module):
    """An MLP over the tokens, then one over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(16), nn.LayerNorm(16)])
        self.tokens = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))
        self.channels = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        made: Tensor = x + self.channels(self.norms[1](x))
        return made


class Rotary(nn.Module):
    """Rotary position embedding: halves turned, or pairs."""

    def __init__(self, pairs: bool) -> None:
        super().__init__()
        self.pairs = pairs
        angle = torch.outer(torch.arange(12.0), torch.rand(8)).repeat_interleave(2 if pairs else 1, -1)
        angle = angle if pairs else torch.cat((angle, angle), -1)
        self.cos, self.sin = nn.Buffer(angle.cos()), nn.Buffer(angle.sin())

    def forward(self, x: Tensor) -> Tensor:
        if self.pairs:
            turned = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
        else:
            first, second = x.chunk(2, -1)
            turned = torch.cat((-second, first), -1)
        return x * self.cos + turned * self.sin


class Positions(nn.Module):
    """A linear layer, or a patch embedding, plus learned positions."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.linear, self.patches = kind, nn.Linear(8, 16), nn.Conv2d(3, 16, 4, 4)
        self.table, self.token = nn.Parameter(torch.randn(1, 16, 16)), nn.Parameter(torch.randn(1, 1, 16))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "linear":
            moved: Tensor = self.linear(x) + self.table
            return moved
        made = self.patches(x).flatten(2).transpose(1, 2) + self.table
        return torch.cat((self.token, made), 1) if self.kind == "token" else made
