"""A campaign as text."""

from __future__ import annotations

from detr2litert.verify.fuzz.campaign import Campaign


def lines(campaign: Campaign) -> list[str]:
    """Returns the summary, the table of known faults by rule, and that of unknown ones by kind."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in campaign.verdicts.most_common())
    found = [f"fuzzed    {campaign.graphs} graphs of seed {campaign.seed} in {campaign.seconds:.0f} s: {counts}"]
    if campaign.known:
        found.append(f"known     {', '.join(f'{rule} {count}' for rule, count in campaign.known.most_common())}")
    if campaign.alarms:
        found.append("alarms    called wrong and right on these inputs: " + ", ".join(
            f"{rule} {count} (graph {campaign.alarmed[rule][0]})" for rule, count in campaign.alarms.most_common()
        ))  # fmt: skip
    if not campaign.faults:
        return [*found, "unknown   nothing that no rule knows"]
    found.append(f"unknown   {sum(map(len, campaign.faults.values()))} faults of {len(campaign.faults)} kinds:")
    for kind, faults in campaign.faults.items():
        first = faults[0]
        detail = first.judged.message or f"wrong by {first.judged.error:.2g}"
        found += [
            f"  {len(faults)} x {kind}: {detail}",
            f"      graph {first.number}, smallest: {first.spec}",
        ]
    return found
