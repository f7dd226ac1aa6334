"""The driver's steps for every rewrite: provenance, counts, dead code, lint, shapes and order."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest
import torch
from passes import traced
from torch import Tensor, fx

from detr2litert.graphs.provenance import provenance_of
from detr2litert.graphs.toolbox import Emitter, aten, calls, replace
from detr2litert.rewrites.contract import Findings, Miss, Rewrite, fired, missed, rewrite
from detr2litert.rewrites.driver import OrderError, Step, check_order, run, wrong_shapes
from detr2litert.rewrites.pipeline import WHOLE
from detr2litert.rewrites.profile import Profile


@rewrite(options=("constant_limit",))
def double_relu(graph_module: fx.GraphModule, constant_limit: float) -> Findings:
    """Replaces relu by a product, but not sigmoid; the replaced node remains as dead code."""
    found = [missed(node, f"no relu at {constant_limit:g}") for node in calls(graph_module, aten.sigmoid.default)]
    for node in calls(graph_module, aten.relu.default):
        node.replace_all_uses_with(Emitter(graph_module, node)(aten.mul.Tensor, node.args[0], 2.0))
        return [*found, fired(node, "doubled")]
    return found


@rewrite()
def break_shape(graph_module: fx.GraphModule) -> Findings:
    (node,) = calls(graph_module, aten.mul.Tensor)
    node.meta["val"] = torch.empty(7, device="meta")
    return []


@rewrite()
def break_order(graph_module: fx.GraphModule) -> Findings:
    first, second = calls(graph_module, aten.relu.default, aten.sigmoid.default)
    first.prepend(second)
    return []


def function(x: Tensor) -> Tensor:
    return x.relu().sigmoid()


def test_the_report_lists_sites_and_misses() -> None:
    graph_module = traced(function, torch.zeros(3))
    (report,) = run([Step(double_relu, "a reason")], graph_module, Profile(constant_limit=5.0))
    assert (report.name, report.reason) == ("double_relu", "a reason")
    assert [(site.node, site.detail) for site in report.fired] == [("relu", "doubled")]
    assert report.missed == (Miss("sigmoid", "", "no relu at 5"),)
    assert (report.ops_before, report.ops_after) == (2, 2)


def test_new_nodes_have_one_provenance_and_dead_ones_are_removed() -> None:
    graph_module = traced(function, torch.zeros(3))
    run([Step(double_relu, "")], graph_module, Profile())
    assert not calls(graph_module, aten.relu.default)
    assert [provenance_of(node).rewrites for node in calls(graph_module, aten.mul.Tensor)] == [("double_relu",)]
    assert provenance_of(calls(graph_module, aten.sigmoid.default)[0]).rewrites == ()


def test_a_wrong_shape_is_found() -> None:
    graph_module = traced(lambda x: x * 2, torch.zeros(3))
    assert wrong_shapes(graph_module) == []
    run([Step(break_shape, "")], graph_module, Profile())
    assert wrong_shapes(graph_module) == ["mul: recorded [7], computed [3]"]


def test_a_malformed_graph_ends_the_run() -> None:
    with pytest.raises(RuntimeError, match="used before it has been defined"):
        run([Step(break_order, "")], traced(function, torch.zeros(3)), Profile())


def test_an_order_that_a_rewrite_forbids_is_refused() -> None:
    later, earlier = Rewrite(double_relu.run, after=("break_shape",)), Rewrite(break_shape.run)
    check_order([earlier, later])
    check_order([later])
    with pytest.raises(OrderError, match="double_relu must run after break_shape"):
        check_order([later, earlier])
    with pytest.raises(OrderError, match="break_shape must run before double_relu"):
        check_order([double_relu, Rewrite(break_shape.run, before=("double_relu",))])


def test_the_pipeline_satisfies_every_declaration() -> None:
    rewrites = [step.rewrite for step in WHOLE]
    check_order(rewrites)
    known = {one.name for one in rewrites}
    assert {name for one in rewrites for name in (*one.after, *one.before)} <= known
    constrained = [one for one in rewrites if one.after or one.before]
    assert len(constrained) >= 10
    for one in constrained:
        with pytest.raises(OrderError):
            check_order([one, *(other for other in rewrites if other is not one)] if one.after else [*rewrites[1:], one])


@pytest.mark.parametrize("step", WHOLE, ids=lambda step: step.name)
def test_a_rewrite_takes_the_options_that_it_declares_and_reads_them(step: Step) -> None:
    parameters = list(inspect.signature(step.rewrite.run).parameters)
    assert tuple(parameters[1:]) == step.rewrite.options
    assert set(step.rewrite.options) <= {field.name for field in fields(Profile)}
    source = inspect.getsource(step.rewrite.run)
    body = source[source.index("-> Findings:") :]
    assert all(option in body for option in step.rewrite.options)


def test_the_recorded_node_is_the_replaced_one() -> None:
    graph_module = traced(function, torch.zeros(3))
    (node,) = calls(graph_module, aten.relu.default)
    site = fired(node, "gone")
    replace(node, node.all_input_nodes[0])
    assert site.node == "relu"
