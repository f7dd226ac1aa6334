"""The lint gate: predicts from the file alone what the GPU delegate does with a .tflite.

Every row of the support table that applies to the target is checked on every operator. It needs no GPU and takes milliseconds,
and it detects what no compilation shows: patterns that the delegate accepts and computes wrong.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from detr2litert.host_runtime.tflite.graph import Graph, Op, read_entries
from detr2litert.verify.gates import Finding, GateResult, Measurement, TensorRef, Verdict
from detr2litert.verify.lint.op_rules import GRAPH_CHECKS, OP_CHECKS, Hit
from detr2litert.verify.lint.op_support import SEVERITIES, Rule, SupportTable, load_support
from detr2litert.verify.printable import printable

FAIL_ON = ("refused", "wrong")
_MOST_TENSORS = 32  # of a finding: an operator may have any number, and as many operators may share them
_NAME_LENGTH = 120  # of a tensor's name in a place; the finding's ``tensors`` have the full name


def severities_from(level: str) -> tuple[str, ...]:
    """Returns the severities at least as severe as ``level``: ``"wrong"`` gives refused and wrong.

    Raises:
        ValueError: no such severity.
    """
    return SEVERITIES[: SEVERITIES.index(level) + 1]


def lint_graph(
    graph: Graph, support: SupportTable | None = None, *, add: Iterable[str] = (), note: Iterable[str] = ()
) -> list[Finding]:
    """Checks a graph against the table.

    Args:
        graph: the graph.
        support: the table [default: that of the installed runtime].
        add: rules that apply only to some targets, this one among them.
        note: such rules for other targets, whose findings are only risks here.

    Returns:
        Findings in order of the operators, those about the whole graph last.
    """
    table = support or load_support()
    known = table.accepted_ops.union(*(row.ops for row in table.rules if row.check == "listed_op"))
    rules = [
        replace(row, parameters={**row.parameters, "known": known}) if row.check == "unmeasured_op" else row
        for row in _rows(table, add, note)
    ]
    found: list[Finding] = []
    for op in graph.ops:
        for row in rules:
            if row.check in OP_CHECKS and (not row.ops or op.name in row.ops):
                hits, malformed = _hits(OP_CHECKS[row.check](graph, op, row))
                found += [_finding(graph, row, hit, op) for hit in hits]
                if malformed:
                    found.append(_malformed(graph, op, malformed))
                    break
    return found + list(_whole_graph(graph, rules))


def _rows(table: SupportTable, add: Iterable[str], note: Iterable[str]) -> list[Rule]:
    """Returns the rules that apply, those of other targets as risks, with the backend that has the fault."""
    apply = table.select(add)
    noted = [row for row in table.select(note) if row not in apply]
    return [*apply, *(replace(row, severity="risk", evidence=_elsewhere(row, table)) for row in noted)]


def _elsewhere(row: Rule, table: SupportTable) -> str:
    adapters = ", ".join(row.adapters)
    return f"a fault of the backend {row.backend} ({adapters}), not seen on {table.backend}: {row.evidence}"


def lint_file(path: Path, support: SupportTable | None = None, *, add: Iterable[str] = ()) -> list[Finding]:
    """Runs ``lint_graph`` on every entry of a file.

    Raises:
        UserError: the file is not a readable LiteRT model.
    """
    return [found for graph in named_entries(path.name, path) for found in lint_graph(graph, support, add=add)]


def named_entries(name: str, path: Path) -> tuple[Graph, ...]:
    """Returns a file's graphs under the caller's name, followed by the signature's name if there are several.

    Raises:
        UserError: the file is not a readable LiteRT model.
    """
    graphs = read_entries(path)
    if len(graphs) == 1:
        return (replace(graphs[0], name=name),)
    return tuple(replace(g, name=f"{name}:{g.signature or f'subgraph {i}'}") for i, g in enumerate(graphs))


def check_lint(
    graphs: Mapping[str, Path],
    support: SupportTable | None = None,
    *,
    add: Iterable[str] = (),
    note: Iterable[str] = (),
    fail_on: Iterable[str] = FAIL_ON,
) -> GateResult:
    """Runs the gate: passes if no graph has a finding of a severity in ``fail_on``; others are only reported.

    Raises:
        UserError: a file is not a readable LiteRT model.
    """
    start = time.perf_counter()
    table, severities = support or load_support(), tuple(fail_on)
    findings: list[Finding] = []
    measurements: list[Measurement] = []
    counts: dict[str, dict[str, int]] = {}
    for graph in (entry for name, path in graphs.items() for entry in named_entries(name, path)):
        found = lint_graph(graph, table, add=add, note=note)
        bad = sum(finding.severity in severities for finding in found)
        findings += found
        counts[graph.name] = graph.op_counts()
        measurements += [
            Measurement(graph.name, "operators", float(len(graph.ops))),
            Measurement(graph.name, "findings", float(bad), limit=0.0, at_least=False),
        ]
    failing = [finding for finding in findings if finding.severity in severities]
    return GateResult(
        gate="lint",
        verdict=Verdict.FAILED if failing else Verdict.PASSED,
        summary=_summary(sum(sum(c.values()) for c in counts.values()), findings),
        advice=f"{failing[0].place}: {failing[0].message}; {failing[0].advice}" if failing else "",
        measurements=tuple(measurements),
        findings=tuple(findings),
        seconds=time.perf_counter() - start,
        data={
            "op_counts": counts,
            "table": {"runtime": table.runtime, "backend": table.backend, "measured_on": table.measured_on},
        },
    )


def _summary(operators: int, findings: Iterable[Finding]) -> str:
    total = Counter(finding.severity for finding in findings)
    nouns = {"refused": "refused", "wrong": "computed wrong", "risk": f"risk{'s' * (total['risk'] != 1)}"}
    counts = [f"{total[severity]} {nouns[severity]}" for severity in SEVERITIES if total[severity]]
    if not total["refused"] and not total["wrong"]:
        counts.insert(0, "nothing the delegate refuses or gets wrong")
    return f"{operators} operator{'s' * (operators != 1)}: {', '.join(counts)}"


def _hits(check: Iterator[Hit]) -> tuple[list[Hit], str]:
    """Returns a check's hits and the error that stopped it: a foreign file may have operators that lack operands."""
    hits: list[Hit] = []
    try:
        hits.extend(check)
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        return hits, f"{type(error).__name__}: {error}"
    return hits, ""


def _malformed(graph: Graph, op: Op | None, error: str) -> Finding:
    message = f"operands or options do not match the schema ({error})"
    advice = "the file is damaged, or its converter is at fault: convert it again"
    return _placed(graph, op, op.outputs if op else (), "malformed-op", "refused", message, advice)


def _whole_graph(graph: Graph, rules: Iterable[Rule]) -> Iterator[Finding]:
    for row in rules:
        if row.check in GRAPH_CHECKS:
            hits, malformed = _hits(GRAPH_CHECKS[row.check](graph, row))
            for hit in hits:
                yield _finding(graph, row, hit, _where(graph, hit))
            if malformed:
                yield _malformed(graph, None, malformed)


def _where(graph: Graph, hit: Hit) -> Op | None:
    """Returns the operator of a hit about the whole graph: its own, or the producer of its first tensor."""
    if hit.op is None and hit.tensors:
        return graph.producer(hit.tensors[0])
    return hit.op


def _finding(graph: Graph, row: Rule, hit: Hit, op: Op | None) -> Finding:
    advice = row.advice + (f" ({row.issue})" if row.issue else "")
    found = _placed(graph, op, hit.tensors, row.rule, row.severity, hit.message, advice)
    return replace(found, why=row.evidence, fixed_by=row.fixed_by)


def _placed(
    graph: Graph, op: Op | None, tensors: Iterable[int], rule: str, severity: str, message: str, advice: str
) -> Finding:
    given = [t for t in tensors if t >= 0]
    named = [graph.tensors[t] for t in given[:_MOST_TENSORS]]
    names = ", ".join(_cut(short_name(t.name)) or f"tensor {t.index}" for t in named)
    if len(given) > len(named):
        names = f"{names} and {len(given) - len(named)} more"
    parts = [graph.name, f"op {op.index} {op.name}" if op else "", f"({names})" if names else ""]
    return Finding(
        rule,
        severity,
        printable(" ".join(part for part in parts if part)),
        printable(message),
        advice,
        graph=graph.name,
        op=op.index if op else None,
        operator=op.name if op else "",
        tensors=tuple(TensorRef(t.index, t.name, t.shape, t.dtype) for t in named),
    )


def _cut(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[:_NAME_LENGTH]}…"


def short_name(name: str) -> str:
    """Returns the last two modules of a tensor's name.

    litert-torch names a tensor after its modules, ``pkg.A_x/pkg.B_y/torch.nn.modules.linear.Linear_z;2``, and joins the names
    of fused operators with ``;``; for that name the result is ``B_y/Linear_z``. A name with a ``|`` was made by this project's
    lowering, ``MODULE|REWRITES|_NODE;N``, and is returned whole, without the number.
    """
    if "|" in name:
        return name.partition(";")[0]
    parts = name.partition(";")[0].split("/")
    return "/".join(part.rpartition(".")[2] for part in parts[-2:])
