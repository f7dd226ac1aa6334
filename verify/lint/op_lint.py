"""The lint gate: what a .tflite would meet on the GPU delegate, read off the file alone.

Every row of the support table that applies to the target is held against every operator. It needs no GPU and takes
milliseconds, and it knows what no compilation shows: patterns the delegate accepts and computes wrongly.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from verify.gates import Finding, GateResult, Measurement, Verdict
from verify.lint.op_rules import GRAPH_CHECKS, OP_CHECKS, Hit
from verify.lint.op_support import Rule, SupportTable, load_support
from verify.tflite.graph import Graph, Op, read_graph

FAIL_ON = ("refused", "wrong")


def lint_graph(
    graph: Graph, support: SupportTable | None = None, *, add: Iterable[str] = (), ignore: Iterable[str] = ()
) -> list[Finding]:
    """Holds a graph against the table.

    Args:
        graph: the graph.
        support: the table; by default that of the installed runtime.
        add: rules that hold only for some targets and hold for this one.
        ignore: rules that do not hold for this target.

    Returns:
        Findings in order of the operators, those about the whole graph last.
    """
    table = support or load_support()
    known = table.accepted_ops.union(*(row.ops for row in table.rules if row.check == "listed_op"))
    rules = [
        replace(row, parameters={**row.parameters, "known": known}) if row.check == "unmeasured_op" else row
        for row in table.select(add, ignore)
    ]
    by_op = [
        _finding(graph, row, hit, op)
        for op in graph.ops
        for row in rules
        if row.check in OP_CHECKS and (not row.ops or op.name in row.ops)
        for hit in OP_CHECKS[row.check](graph, op, row)
    ]
    return by_op + list(_whole_graph(graph, rules))


def lint_file(
    path: Path, support: SupportTable | None = None, *, add: Iterable[str] = (), ignore: Iterable[str] = ()
) -> list[Finding]:
    """``lint_graph`` on a file.

    Raises:
        UserError: the file is no readable LiteRT model.
    """
    return lint_graph(read_graph(path), support, add=add, ignore=ignore)


def check_lint(
    graphs: Mapping[str, Path],
    support: SupportTable | None = None,
    *,
    add: Iterable[str] = (),
    ignore: Iterable[str] = (),
    fail_on: Iterable[str] = FAIL_ON,
) -> GateResult:
    """The gate: passes if no graph has a finding of a severity in ``fail_on``; others are only reported.

    Raises:
        UserError: a file is no readable LiteRT model.
    """
    start = time.perf_counter()
    table, severities = support or load_support(), tuple(fail_on)
    findings: list[Finding] = []
    measurements: list[Measurement] = []
    counts: dict[str, dict[str, int]] = {}
    for name, path in graphs.items():
        graph = replace(read_graph(path), name=name)
        found = lint_graph(graph, table, add=add, ignore=ignore)
        bad = sum(finding.severity in severities for finding in found)
        findings += found
        counts[name] = graph.op_counts()
        measurements += [
            Measurement(name, "operators", float(len(graph.ops))),
            Measurement(name, "findings", float(bad), limit=0.0, at_least=False),
        ]
    failing = [finding for finding in findings if finding.severity in severities]
    total, others = sum(sum(c.values()) for c in counts.values()), len(findings) - len(failing)
    summary = f"{total} operators: " + (f"{len(failing)} findings" if failing else "nothing the delegate refuses or gets wrong")
    return GateResult(
        gate="lint",
        verdict=Verdict.FAILED if failing else Verdict.PASSED,
        summary=summary + (f", {others} risks" if others else ""),
        advice=f"{failing[0].place}: {failing[0].message}; {failing[0].advice}" if failing else "",
        measurements=tuple(measurements),
        findings=tuple(findings),
        seconds=time.perf_counter() - start,
        data={
            "op_counts": counts,
            "table": {"runtime": table.runtime, "backend": table.backend, "measured_on": table.measured_on},
        },
    )


def _whole_graph(graph: Graph, rules: Iterable[Rule]) -> Iterator[Finding]:
    for row in rules:
        if row.check in GRAPH_CHECKS:
            for hit in GRAPH_CHECKS[row.check](graph, row):
                yield _finding(graph, row, hit, None)


def _finding(graph: Graph, row: Rule, hit: Hit, op: Op | None) -> Finding:
    tensors = ", ".join(short_name(graph.tensors[t].name) or f"tensor {t}" for t in hit.tensors if t >= 0)
    parts = [graph.name, f"op {op.index} {op.name}" if op else "", f"({tensors})" if tensors else ""]
    advice = row.advice + (f" ({row.issue})" if row.issue else "")
    return Finding(row.rule, row.severity, " ".join(part for part in parts if part), hit.message, advice)


def short_name(name: str) -> str:
    """The last two modules of a tensor's name.

    litert-torch names a tensor after the modules it came through, ``pkg.A_x/pkg.B_y/torch.nn.modules.linear.Linear_z;2``,
    and joins the names of fused operators with ``;``; of that one this gives ``B_y/Linear_z``. A name with a ``|`` was made
    by this project's lowering, ``MODULE|REWRITES|_NODE;N``, and is given whole but for the number.
    """
    if "|" in name:
        return name.partition(";")[0]
    parts = name.partition(";")[0].split("/")
    return "/".join(part.rpartition(".")[2] for part in parts[-2:])
