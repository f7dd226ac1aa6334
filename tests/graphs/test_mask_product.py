"""The product that masks come from is cut off, and gives the same masks for the queries that are kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detr2litert.graphs.mask_product import cut_masks
from detr2litert.graphs.toolbox import RewriteRefusedError, value_of
from detr2litert.rewrites import driver, pipeline
from detr2litert.rewrites.profile import Profile
from detr2litert.rewrites.program import export

QUERIES, CHANNELS, HEIGHT, WIDTH, KEPT = 10, 8, 5, 7, 4


class Masks(nn.Module):
    """Boxes and masks of embeddings of queries and cells."""

    def __init__(self, scale: Tensor | None = None, bias: Tensor | None = None) -> None:
        super().__init__()
        self.query, self.cell = nn.Linear(6, CHANNELS), nn.Conv2d(3, CHANNELS, 1)
        self.scale = torch.tensor([1.5]) if scale is None else scale
        self.bias = torch.tensor([-0.25]) if bias is None else bias

    def forward(self, queries: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        cells = self.cell(image)
        masks = (self.query(queries) @ cells.flatten(2)).view(1, QUERIES, HEIGHT, WIDTH)
        return queries[..., :4], masks * self.scale + self.bias


class Added(Masks):
    """Masks to which a map is added, which is no product."""

    def forward(self, queries: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        boxes, masks = super().forward(queries, image)
        return boxes, masks + image[:, :1]


class Transposed(Masks):
    """Masks whose first factor is of the cells."""

    def forward(self, queries: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        cells = self.cell(image).flatten(2).transpose(1, 2)
        return queries[..., :4], (cells @ self.query(queries).transpose(1, 2)).view(1, HEIGHT, WIDTH, QUERIES)


def example() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, QUERIES, 6, generator=generator), torch.randn(1, 3, HEIGHT, WIDTH, generator=generator)


@torch.no_grad()
def test_the_kept_queries_have_the_same_masks() -> None:
    module, inputs = Masks().eval(), example()
    graph = export(module, inputs)
    driver.run(pipeline.NORMALISE, graph, Profile())
    product = cut_masks(graph, KEPT)
    boxes, queries, cells = graph(*inputs)
    assert (queries.shape, cells.shape) == ((1, QUERIES, CHANNELS), (1, HEIGHT, WIDTH, CHANNELS))
    wanted_boxes, wanted = module(*inputs)
    assert torch.equal(boxes, wanted_boxes)
    # In any order, and one of them twice.
    kept = torch.tensor([9, 0, 3, 3], dtype=torch.int32)
    (masks,) = product(queries, cells, kept)
    assert masks.shape == (1, HEIGHT, WIDTH, KEPT)
    torch.testing.assert_close(masks.permute(0, 3, 1, 2), wanted[:, kept.long()], rtol=1e-5, atol=1e-5)
    assert [tuple(value_of(node).shape) for node in product.graph.nodes if node.op == "placeholder"][-1] == (KEPT,)
    driver.run(pipeline.IN_EACH_GRAPH, product, Profile())
    torch.testing.assert_close(product(queries, cells, kept)[0], masks)


@pytest.mark.parametrize("module", [Masks(bias=torch.ones(WIDTH)), Added(), Transposed()])
def test_masks_that_are_no_such_product_are_refused(module: Masks) -> None:
    graph = export(module.eval(), example())
    driver.run(pipeline.NORMALISE, graph, Profile())
    with pytest.raises(RewriteRefusedError, match="masks must be a product of an embedding of queries with one of cells"):
        cut_masks(graph, KEPT)
