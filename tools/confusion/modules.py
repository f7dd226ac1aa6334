"""The modules of the table, by name: a way to make each, and the shapes of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tools.confusion import blocks as b

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One module: how to make it, and its inputs' shapes."""

    make: Callable[[], nn.Module]
    shapes: tuple[Shape, ...]


class _Function(nn.Module):
    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: Tensor) -> object:
        return self.function(*values)


_MAP, _TOKENS, _IMAGE = (1, 16, 8, 8), (1, 16, 32), (1, 3, 16, 16)
_WEIGHT, _ROW, _TABLE = torch.randn(12, 32), torch.randn(32), torch.randn(20, 32)


def _f(function: Callable[..., object], *shapes: Shape) -> Case:
    return Case(lambda: _Function(function), shapes)


def _m(make: Callable[[], nn.Module], *shapes: Shape) -> Case:
    return Case(make, shapes)


CASES: Mapping[str, Case] = {
    # attention
    "attention, fused projection": _m(lambda: b.Attention(), _TOKENS),
    "attention, separate projections": _m(lambda: b.Attention(fused=False), _TOKENS),
    "attention, bias for each head": _m(lambda: b.Attention(bias="each"), _TOKENS),
    "attention, shared bias": _m(lambda: b.Attention(bias="shared"), _TOKENS),
    "attention, causal mask": _m(lambda: b.Attention(bias="causal"), _TOKENS),
    "attention, batch of 2": _m(lambda: b.Attention(), (2, 16, 32)),
    "nn.MultiheadAttention": _m(lambda: _Multihead(), _TOKENS),
    "scaled_dot_product_attention": _f(lambda q, k, v: F.scaled_dot_product_attention(q, k, v), *[(1, 4, 16, 8)] * 3),
    "linear attention": _f(lambda q, k, v: (F.elu(q) + 1) @ ((F.elu(k) + 1).transpose(-1, -2) @ v), *[(1, 4, 16, 8)] * 3),
    "transformer layer, pre-norm": _m(lambda: b.Encoder(), _TOKENS),
    "transformer layer, post-norm, ReLU": _m(lambda: b.Encoder(pre=False, activation=nn.ReLU), _TOKENS),
    "nn.TransformerEncoderLayer": _m(lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), _TOKENS),
    "Swin window": _m(lambda: b.Swin(False), (1, 8, 8, 32)),
    "Swin shifted window": _m(lambda: b.Swin(True), (1, 8, 8, 32)),
    "Swin without bias": _m(lambda: b.Swin(False, ""), (1, 8, 8, 32)),
    "rotary embedding, halves": _m(lambda: b.Rotary(False), (1, 4, 12, 16)),
    "rotary embedding, pairs": _m(lambda: b.Rotary(True), (1, 4, 12, 16)),
    "linear and positions": _m(lambda: b.Positions("linear"), (1, 16, 8)),
    "patches and positions": _m(lambda: b.Positions("patches"), _IMAGE),
    "patches, positions and a token": _m(lambda: b.Positions("token"), _IMAGE),
    # convolutional networks
    "UNet, transposed convolution": _m(lambda: b.UNet("transposed"), _IMAGE),
    "UNet, bilinear": _m(lambda: b.UNet("bilinear"), _IMAGE),
    "UNet, nearest": _m(lambda: b.UNet("nearest"), _IMAGE),
    "ConvNeXt block": _m(lambda: b.ConvNeXt(), _MAP),
    "ConvNeXt block, 6 channels": _m(lambda: b.ConvNeXt(6), (1, 6, 8, 8)),
    "residual block": _m(lambda: b.Residual(), (1, 8, 8, 8)),
    "residual block, stride 2": _m(lambda: b.Residual(stride=2), (1, 8, 8, 8)),
    "residual block, 6 channels": _m(lambda: b.Residual(6), (1, 6, 8, 8)),
    "squeeze and excite": _m(lambda: b.SqueezeExcite(), _MAP),
    "squeeze and excite, hard sigmoid": _m(lambda: b.SqueezeExcite(gate="hard"), _MAP),
    "squeeze and excite, 6 channels": _m(lambda: b.SqueezeExcite(6), (1, 6, 8, 8)),
    "inverted bottleneck": _m(lambda: nn.Sequential(nn.Conv2d(16, 32, 1), nn.ReLU6(), nn.Conv2d(32, 32, 3, 1, 1, groups=32),
                                                    nn.ReLU6(), nn.Conv2d(32, 16, 1)), _MAP),
    "grouped convolution, 4 channels": _m(lambda: nn.Conv2d(16, 16, 3, padding=1, groups=4), _MAP),
    "grouped convolution, 2 channels": _m(lambda: nn.Conv2d(16, 16, 3, padding=1, groups=8), _MAP),
    "depthwise, twice the channels": _m(lambda: nn.Conv2d(16, 32, 3, padding=1, groups=16), _MAP),
    "depthwise 1x1, twice the channels": _m(lambda: nn.Conv2d(16, 32, 1, groups=16), _MAP),
    "dilated convolution": _m(lambda: nn.Conv2d(16, 8, 3, padding=2, dilation=2), _MAP),
    "convolution, reflecting": _m(lambda: nn.Conv2d(16, 8, 3, padding=1, padding_mode="reflect"), _MAP),
    "convolution, replicating": _m(lambda: nn.Conv2d(16, 8, 3, padding=1, padding_mode="replicate"), _MAP),
    "convolution, circular": _m(lambda: nn.Conv2d(16, 8, 3, padding=1, padding_mode="circular"), _MAP),
    "Conv1d": _m(lambda: nn.Conv1d(16, 8, 3, padding=1), (1, 16, 20)),
    "Conv1d, depthwise": _m(lambda: nn.Conv1d(16, 16, 3, padding=1, groups=16), (1, 16, 20)),
    "ConvTranspose2d": _m(lambda: nn.ConvTranspose2d(16, 8, 4, 2, 1), _MAP),
    "stem": _m(lambda: nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)), _IMAGE),
    "average pool, padded": _m(lambda: nn.AvgPool2d(3, 1, 1), _MAP),
    "average pool": _m(lambda: nn.AvgPool2d(2), _MAP),
    "max pool, padded": _m(lambda: nn.MaxPool2d(3, 1, 1), _MAP),
    "global average and linear": _m(lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)), _MAP),
    "spatial pyramid pool": _f(lambda x: torch.cat([x, *(F.max_pool2d(x, k, 1, k // 2) for k in (3, 5))], 1), _MAP),
    "pixel shuffle": _m(lambda: nn.PixelShuffle(2), _MAP),
    "pixel unshuffle": _m(lambda: nn.PixelUnshuffle(2), _MAP),
    "channel shuffle": _m(lambda: nn.ChannelShuffle(4), _MAP),
    "focus (space to depth by slices)": _f(
        lambda x: torch.cat((x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]), 1), _IMAGE),
    "cross-stage partial": _m(lambda: _Csp(), _MAP),
    "feature pyramid step": _f(lambda low, high: F.interpolate(low, scale_factor=2.0, mode="nearest") + high,
                               (1, 16, 4, 4), _MAP),
    "YOLO head, raw": _m(lambda: b.YoloHead("raw"), (1, 16, 4, 4)),
    "YOLO head, v3": _m(lambda: b.YoloHead("v3"), (1, 16, 4, 4)),
    "YOLO head, v5": _m(lambda: b.YoloHead("v5"), (1, 16, 4, 4)),
    "YOLO distances": _m(lambda: b.Distribution(), (1, 64, 20)),
    "class scores, maximum": _f(lambda x: x.sigmoid().amax(-1), (1, 20, 80)),
    "class scores, index": _f(lambda x: x.argmax(-1), (1, 20, 80)),
    "class scores, index of 91": _f(lambda x: x.argmax(-1), (1, 20, 91)),
    "segmentation, index": _f(lambda x: x.argmax(1), (1, 5, 8, 8)),
    "softmax, index": _f(lambda x: x.softmax(-1).argmax(-1), (1, 21)),
    # recurrent layers
    "LSTM, gates by chunk": _m(lambda: b.Lstm("chunk"), (1, 3, 8)),
    "LSTM, gates by slices": _m(lambda: b.Lstm("slice"), (1, 3, 8)),
    "GRU": _m(lambda: b.Lstm("", "gru"), (1, 3, 8)),
    "nn.LSTM": _m(lambda: _First(nn.LSTM(8, 8, batch_first=True)), (1, 3, 8)),
    "nn.GRU": _m(lambda: _First(nn.GRU(8, 8, batch_first=True)), (1, 3, 8)),
    # norms
    "LayerNorm": _m(lambda: nn.LayerNorm(32), _TOKENS),
    "LayerNorm, 6 channels": _m(lambda: nn.LayerNorm(6), (1, 16, 6)),
    "LayerNorm of a map": _m(lambda: nn.LayerNorm([16, 8, 8]), _MAP),
    "RMSNorm": _m(lambda: nn.RMSNorm(32), _TOKENS),
    "GroupNorm": _m(lambda: nn.GroupNorm(4, 16), _MAP),
    "GroupNorm, one group": _m(lambda: nn.GroupNorm(1, 16), _MAP),
    "InstanceNorm": _m(lambda: nn.InstanceNorm2d(16, affine=True), _MAP),
    "InstanceNorm, 6 channels, convolution": _m(
        lambda: nn.Sequential(nn.InstanceNorm2d(6, affine=True), nn.Conv2d(6, 4, 1)), (1, 6, 8, 8)),
    "BatchNorm": _m(lambda: nn.BatchNorm2d(16), _MAP),
    "BatchNorm, convolution": _m(lambda: nn.Sequential(nn.BatchNorm2d(16), nn.Conv2d(16, 8, 1)), _MAP),
    "weight standardisation": _m(lambda: nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU()), _MAP),
    "L2 normalisation": _f(lambda x: F.normalize(x, dim=-1), _TOKENS),
    "L2 normalisation, linear": _f(lambda x: F.linear(F.normalize(x, dim=-1), _WEIGHT), _TOKENS),
    "cosine similarity": _f(lambda x, y: F.cosine_similarity(x, y, dim=-1), _TOKENS, _TOKENS),
    # mixers and gates
    "MLP mixer": _m(lambda: b.Mixer(), (1, 12, 16)),
    "gated linear unit": _m(lambda: nn.Sequential(nn.Linear(32, 64), nn.GLU()), _TOKENS),
    "SwiGLU": _f(lambda x: F.silu(x[..., :16]) * x[..., 16:], _TOKENS),
    "gate by chunk, second": _f(lambda x: (lambda a, c: c * a.sigmoid())(*x.chunk(2, -1)), _TOKENS),
    "difference of halves": _f(lambda x: (lambda a, c: a - c)(*x.chunk(2, -1)), _TOKENS),
    "sum of parts": _f(lambda x: (lambda a, c, d: a + c + d)(*x.reshape(1, 16, 32)[..., :30].chunk(3, -1)), _TOKENS),
    "split and join": _f(lambda x: torch.cat(x.split((8, 24), -1)[::-1], -1), _TOKENS),
    "FNet-like average": _f(lambda x: x - x.mean(1, keepdim=True), _TOKENS),
    # activations
    **{f"activation {name}": _m(kind, _MAP) for name, kind in {
        "GELU": nn.GELU, "SiLU": nn.SiLU, "Mish": nn.Mish, "Hardswish": nn.Hardswish, "Softplus": nn.Softplus, "ELU": nn.ELU,
        "SELU": nn.SELU, "ReLU6": nn.ReLU6, "LogSigmoid": nn.LogSigmoid, "Softsign": nn.Softsign, "Hardtanh": nn.Hardtanh,
    }.items()},
    "activation PReLU": _m(lambda: nn.PReLU(16), _MAP),
    "activation LeakyReLU": _m(lambda: nn.LeakyReLU(0.1), _MAP),
    "activation LeakyReLU, slope 1.5": _m(lambda: nn.LeakyReLU(1.5), _MAP),
    # tensor algebra
    "einsum, heads": _f(lambda q, k: torch.einsum("bhid,bhjd->bhij", q, k), (1, 4, 8, 16), (1, 4, 12, 16)),
    "einsum, bilinear": _f(lambda x, y: torch.einsum("bic,bjc->bij", x, y), (1, 8, 32), (1, 12, 32)),
    "einsum, constant": _f(lambda x: torch.einsum("bnc,oc->bno", x, _WEIGHT), _TOKENS),
    "matrix product, constant transposed": _f(lambda x: x @ _WEIGHT.T, _TOKENS),
    "matrix product, one matrix for all heads": _f(lambda x, y: x @ y, (1, 4, 8, 16), (1, 1, 16, 8)),
    "outer product": _f(lambda x, y: x[..., None] * y[..., None, :], (4, 8), (4, 6)),
    "distances": _f(lambda x, y: ((x[:, :, None] - y[:, None]) ** 2).sum(-1), (1, 8, 4), (1, 12, 4)),
    "cumsum of tokens": _f(lambda x: x.cumsum(1), _TOKENS),
    "cumsum of channels": _f(lambda x: x.cumsum(-1), _TOKENS),
    "cumsum of rows": _f(lambda x: x.cumsum(0), (8, 12)),
    "top-k, values and indices": _f(lambda x: x.topk(4, -1), (1, 32)),
    "top-k of rows of 30": _f(lambda x: x.topk(4, -1), (3, 30)),
    "gather by a constant": _f(lambda x: x[:, torch.tensor([1, 3, 5])], _TOKENS),
    "flip": _f(lambda x: x.flip(1), _TOKENS),
    "roll": _f(lambda x: x.roll(3, 1), _TOKENS),
    "zero pad of channels": _f(lambda x: F.pad(x, (0, 0, 0, 0, 0, 4)), _MAP),
    "zero pad of tokens, batch of 2": _f(lambda x: F.pad(x, (0, 0, 0, 4)), (2, 16, 32)),
    "zero pad of a map": _m(lambda: nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(16, 8, 3)), _MAP),
    "stack": _f(lambda x, y: torch.stack((x, y), 1), _TOKENS, _TOKENS),
    "expand and add": _f(lambda x, y: x + y.expand(1, 16, 32), _TOKENS, (1, 1, 32)),
    "repeat": _f(lambda x: x.repeat(1, 2, 1), _TOKENS),
    "where": _f(lambda x, y: torch.where(x > 0, x, y), _TOKENS, _TOKENS),
    "clamp": _f(lambda x: x.clamp(0, 1), _TOKENS),
    "clamp to other bounds": _f(lambda x: x.clamp(-0.3, 0.7), _TOKENS),
    "inverse sigmoid": _f(lambda x: torch.log(x.sigmoid() / (1 - x.sigmoid())), (1, 16, 4)),
    "inverse sigmoid, points, linear": _f(
        lambda x: F.linear(torch.log(x.sigmoid() / (1 - x.sigmoid())), torch.ones(8, 2)), (1, 16, 2)),
    "centre and size of boxes": _f(
        lambda x: torch.cat(((x[..., :2] + x[..., 2:]) / 2, x[..., 2:] - x[..., :2]), -1), (1, 20, 4)),
    "boxes by unbind": _f(lambda x: (lambda a, c, d, e: torch.stack((a - d / 2, c - e / 2, a + d / 2, c + e / 2), -1))(
        *x.unbind(-1)), (1, 20, 4)),
    "position encoding by sine": _f(lambda x: torch.stack(((x[..., None] * 3).sin(), (x[..., None] * 3).cos()), -1).flatten(-3),
                                    (1, 16, 2)),
    "variance": _f(lambda x: x.var(-1, unbiased=False), _TOKENS),
    "standardised rows": _f(lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5), _TOKENS),
    "weighted sum": _f(lambda x, y: (x * y.softmax(1)).sum(1), _TOKENS, (1, 16, 1)),
    "sum and maximum of a sum": _f(lambda x, y: (x + y).amax(-1), _TOKENS, _TOKENS),
    "scores and a bias": _f(lambda x: F.linear(x, _WEIGHT) + torch.arange(12.0), (16, 32)),
    "embedding": _m(lambda: _Embedded(), _TOKENS),
    "grid_sample": _f(lambda x, g: F.grid_sample(x, g, align_corners=False), _MAP, (1, 4, 4, 2)),
    "interpolation to another size": _f(lambda x: F.interpolate(x, (12, 10), mode="bilinear", align_corners=False), _MAP),
    "interpolation, corners aligned": _f(lambda x: F.interpolate(x, (12, 10), mode="bilinear", align_corners=True), _MAP),
    "unfold by slices": _f(lambda x: torch.stack([x[:, i : i + 12] for i in range(4)], 2), _TOKENS),
    "hidden state and its norm": _m(lambda: _Both(), _TOKENS),
}  # fmt: skip


class _Multihead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return made


class _First(nn.Module):
    """The first result of a module."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.inner(x)[0]
        return made


class _Csp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.body, self.last = nn.Conv2d(16, 16, 1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(24, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        one, two = F.silu(self.first(x)).chunk(2, 1)
        made: Tensor = self.last(torch.cat((one, two, two + self.body(two)), 1))
        return made


class _Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 32)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = x + self.table(torch.arange(16))[None]
        return made


class _Both(nn.Module):
    """Two outputs, one of which is computed from the other."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(32, 32), nn.LayerNorm(32)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.linear(x)
        return hidden, self.norm(hidden)
