#!/usr/bin/env python3
"""Write what is generated: role READMEs, docs/reference and the schemas of the data files.

``gen_docs.py`` writes them, ``gen_docs.py --check`` says which are stale and exits 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from wktriage.core import plugin_docs, topology
from wktriage.core.declarations import schema
from wktriage.incidents import labels, library
from wktriage.judging import causes, rules
from wktriage.lab import faults
from wktriage.request import knobs, scenarios, workload

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- Written by `make docs`; edit the source it names, not this page. -->\n"


def load(path: Path) -> Any:
    """Return a YAML file's content."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def cell(value: Any) -> str:
    """Return a value as the text of one Markdown table cell."""
    if isinstance(value, list):
        value = " ".join(str(v) for v in value)
    return " ".join(str(value).split()).replace("|", "\\|")


def markup(text: str) -> str:
    """Turn Ansible's documentation markup (C(x), O(x), ...) into Markdown."""
    for letter in "CIBOVREMP":
        start = f"{letter}("
        while (at := text.find(start)) >= 0 and (at == 0 or not text[at - 1].isalnum()):
            end = text.find(")", at)
            if end < 0:
                break
            text = f"{text[:at]}`{text[at + 2 : end]}`{text[end + 1 :]}"
    return text


def prose(value: Any) -> str:
    """Return a description (text or list of paragraphs) as Markdown."""
    parts = value if isinstance(value, list) else [value]
    return "\n\n".join(markup(" ".join(str(p).split())) for p in parts if p)


def table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a Markdown table."""
    head = list(header)
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell(c) for c in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def option_rows(options: Mapping[str, Any]) -> list[list[str]]:
    """Return name, kind, default and meaning of each option of an argument spec."""
    rows = []
    for name, option in options.items():
        kind = option.get("type", "str")
        if option.get("elements"):
            kind += f" of {option['elements']}"
        if option.get("choices"):
            kind += ": " + ", ".join(f"`{c}`" for c in option["choices"])
        if option.get("required"):
            default = "required"
        else:
            default = f"`{option['default']}`" if "default" in option else ""
        rows.append([f"`{name}`", kind, default, prose(option.get("description", ""))])
    return rows


def role_page(role: Path) -> str:
    """Return the README of a role, from its meta/ files."""
    info = load(role / "meta" / "main.yml")["galaxy_info"]
    specs = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    text = f"# Role `{role.name}`\n\n{NOTE}\n{prose(info['description'])}.\n"
    for entry, spec in specs.items():
        text += f"\n## Entry point `{entry}`\n\n{prose(spec['short_description'])}.\n"
        if spec.get("description"):
            text += f"\n{prose(spec['description'])}\n"
        if spec.get("options"):
            header = ("variable", "type", "default", "meaning")
            text += "\n" + table(header, option_rows(spec["options"]))
    return text


def plugin_doc(path: Path) -> dict[str, Any]:
    """Return the documentation of a plugin file: its DOCUMENTATION, or its sidecar's."""
    if path.suffix == ".yml":
        return dict(load(path)["DOCUMENTATION"])
    return plugin_docs.of(path)


def plugin_page() -> str:
    """Return the page of all plugins and their options."""
    text = f"# Plugins\n\n{NOTE}\nLogic lives in `src/wktriage`; these adapt it to Ansible.\n"
    seen = set()
    for kind in ("modules", "action", "filter", "callback"):
        for path in sorted((ROOT / "plugins" / kind).glob("wk*")):
            doc = plugin_doc(path)
            if not doc or path.stem in seen:
                continue
            seen.add(path.stem)
            text += f"\n## `{path.stem}` ({kind})\n\n{prose(doc['short_description'])}.\n\n"
            if doc.get("description"):
                text += f"{prose(doc['description'])}\n\n"
            if doc.get("options"):
                header = ("option", "type", "default", "meaning")
                text += table(header, option_rows(doc["options"]))
    return text


def scenario_page() -> str:
    """Return the page of scenarios."""
    text = f"# Scenarios\n\n{NOTE}\nOne file each in `scenarios/`.\n"
    keys = ("users", "person_channels", "group_channels", "group_members", "rate", "concurrency")
    rows, purposes = [], ""
    for path in sorted((ROOT / "scenarios").glob("*.yml")):
        doc = load(path)
        load_ = doc.get("workload") or {}
        rows.append([f"`{doc['name']}`", f"{doc['duration']} s", *(load_.get(k, "") for k in keys)])
        purposes += f"\n## `{doc['name']}`\n\n{prose(doc['purpose'])}\n"
        if doc.get("isolates"):
            purposes += "\nIsolated by: " + ", ".join(f"`{i}`" for i in doc["isolates"]) + ".\n"
    return text + "\n" + table(["scenario", "window", *keys], rows) + purposes


def signal_page() -> str:
    """Return the page of signals."""
    doc = load(ROOT / "src" / "wktriage" / "judging" / "signals" / "catalogue.yml")
    rows = [
        [f"`{s['name']}`", s["title"], s["unit"], s["scope"], s["meaning"], s.get("source", "")]
        for s in doc["signals"]
    ]
    intro = "Named measurements of a bundle; any of them may be unknown, and then says why."
    header = ("signal", "in words", "unit", "scope", "meaning", "source")
    return f"# Signals\n\n{NOTE}\n{intro}\n\n" + table(header, rows)


def categories() -> list[str]:
    """Return the categories in the order in which they are decided."""
    from wktriage.core.categories import CATEGORIES

    return list(CATEGORIES)


def category_page() -> str:
    """Return the page of categories: their gates, and the causes that may be behind each."""
    text = f"# Categories and rules\n\n{NOTE}\n"
    text += "Decided in this order; the first that holds wins, the others that hold are listed.\n"
    for name in categories():
        text += f"\n## `{name}`\n\n"
        text += f"[What it means and what it is confused with](../../rules/{name}.md).\n\n"
        if name in rules.GATES:
            rows = (
                [
                    f"`{r['id']}`",
                    r["title"],
                    r["component"],
                    r["message"],
                    fixture_link("rules", r["id"]),
                ]
                for r in load(ROOT / "rules" / f"{name}.yml")["rules"]
            )
            text += table(("gate", "means", "component", "message", "fixture"), rows)
        else:
            rows = (
                [f"[`{element}`](causes.md#{element})", file.title, file.component]
                for element, file in causes.files().items()
                if name in file.category.values()
            )
            text += table(("cause", "means", "component"), rows)
    return text


def cause_page() -> str:
    """Return the page of causes: how each shows, what it holds up, and what to try."""
    text = f"# Causes\n\n{NOTE}\n"
    text += "What may be at fault. Which of several it is: `src/wktriage/judging/causes.py`.\n"
    for element, file in causes.files().items():
        text += f"\n## {element}\n\n{file.title[:1].upper()}{file.title[1:]}. "
        text += f"Component: {file.component}. "
        text += f"[Fixture](../../tests/fixtures/causes/{element}.yml).\n\n"
        for sign in file.signs:
            at = "of a node" if sign.where == "node" else "of the run"
            text += f"- Abnormal against its {sign.against}, {at}: `{json.dumps(sign.when)}`\n"
        if file.needs is not None:
            text += f"- Only where `{json.dumps(file.needs)}`\n"
        for kind, category in file.category.items():
            text += f"- With the symptom *{kind.replace('_', ' ')}* it is `{category}`.\n"
        if file.everywhere is not None:
            text += f"- On every node at once it is `{file.everywhere.capacity}`.\n"
        if file.holds_up.stages:
            text += f"- Holds up the stages {', '.join(file.holds_up.stages)}.\n"
        if file.holds_up.elements:
            links = (f"[{e}](#{e})" for e in file.holds_up.elements)
            text += f"- Explains {', '.join(links)}.\n"
        if file.hypotheses:
            text += f"- Hypotheses: {', '.join(file.hypotheses)}.\n"
        text += f"- Known from: {file.known_from.strip()}\n"
        if file.regression_test:
            text += f"- Regression test: {file.regression_test}.\n"
    return text


def fixture_link(folder: str, rule: str) -> str:
    """Return a link to a rule's fixture: where it fires, where not, where evidence is missing."""
    path = Path("tests") / "fixtures" / folder / f"{rule}.yml"
    return f"[fires, not, unknown](../../{path})" if (ROOT / path).is_file() else "-"


def knob_page() -> str:
    """Return the page of knobs."""
    text = f"# Knobs\n\n{NOTE}\nWhat an experiment may change, one at a time. "
    text += "Workload before configuration before code.\n"
    header = ("knob", "variable", "type", "default", "affects")
    for kind in ("workload", "config", "code"):
        rows = (
            [f"`{k.name}`", code(k.env), k.type, code(shown(k.default)), k.affects]
            for k in knobs.load().values()
            if k.kind == kind
        )
        text += f"\n## {kind.capitalize()}\n\n{table(header, rows)}"
    return text


def code(text: str) -> str:
    """Return text as code, nothing for none."""
    return f"`{text}`" if text else ""


def shown(value: object) -> str:
    """Return a value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def fault_page() -> str:
    """Return the page of faults."""
    text = f"# Faults of the lab\n\n{NOTE}\n"
    text += "Each is declared in `faults/`; its label says what happened, not what was meant.\n\n"
    rows = []
    for path in sorted((ROOT / "faults").glob("*.yml")):
        doc = load(path)
        rows.append([f"`{path.stem}`", doc["mechanism"], doc["targets"], doc["purpose"]])
    return text + table(("fault", "mechanism", "targets", "purpose"), rows)


def incident_page() -> str:
    """Return the page of recorded incidents, each with its picture where there is one."""
    text = f"# Recorded incidents\n\n{NOTE}\n"
    text += (
        "Each was recorded on a real three-node cluster. The label says what happened, not what "
        "was meant: a limit under which the offered load was still met is healthy. *Checked* is "
        "the lab's own check that the fault took hold; a load that is itself the fault, and the "
        "given incidents, have none. *When* counts from the first status sample. *Also right* are "
        "other categories that describe the same run; *component* holds those by which a verdict "
        "may name what was at fault, where that is plain. `make triage INCIDENT=<id>` plays one.\n"
    )
    incidents = library.list_incidents(ROOT / "incidents")
    for heading, shared in (("Recorded by this harness", False), ("Given", True)):
        rows = [incident_row(one) for one in incidents if one.shared is shared]
        head = ["id", "title", "what was done", "checked", "when", "scenario"]
        head += ["label", "also right", "nodes", "component", "baseline"]
        text += f"\n## {heading}\n\n{table(head, rows)}"
    text += "\n## Pictures\n"
    for one in incidents:
        picture = Path("docs") / "screenshots" / f"{one.bundle}.png"
        if (ROOT / picture).is_file():
            text += f"\n### {one.title}\n\n`{one.bundle}`, labelled `{one.label}`:\n\n"
            text += f"![First screen of the report of {one.bundle}](screenshots/{picture.name})\n"
    return text


def incident_row(one: library.Incident) -> list[str]:
    """Return an incident's row; a healthy run of which nothing was done has no *when*."""
    undone = one.fault_at_s is None or one.fault == "nothing"
    row = [f"`{one.bundle}`", one.title, one.fault, "; ".join(one.checks)]
    row += ["" if undone else f"{one.fault_at_s:g} s", f"`{one.scenario}`", f"`{one.label}`"]
    row += [", ".join(f"`{c}`" for c in one.also_ok), ", ".join(one.nodes)]
    row.append(", ".join(f"`{c}`" for c in one.components))
    row.append(f"`{one.baseline}`" if one.baseline else "")
    return [value or "-" for value in row]


def command_page() -> str:
    """Return the page of the command line, from its own help."""
    from wktriage.cli.main import group

    text = f"# The `wktriage` command\n\n{NOTE}"

    def describe(command: click.Command, name: str, parent: click.Context | None) -> str:
        context = click.Context(
            command, info_name=name, parent=parent, max_content_width=90, **command.context_settings
        )
        out = f"\n## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
        if isinstance(command, click.Group):
            # Asked by name: a command whose module is not loaded yet is one all the same.
            for child_name in command.list_commands(context):
                child = command.get_command(context, child_name)
                if child is not None and not child.hidden:
                    out += describe(child, child_name, context)
        return out

    return text + describe(group, "wktriage", None)


def schema_files() -> dict[Path, str]:
    """Return the schemas of the data files, made from their declarations."""
    kinds: dict[str, tuple[Any, str]] = {
        "scenario": (scenarios.Scenario, "scenarios/<name>.yml"),
        "rule": (rules.RuleFile, "rules/<category>.yml"),
        "facts": (rules.FactFile, "rules/facts.yml"),
        "cause": (causes.CauseFile, "causes/<element>.yml"),
        "knob": (
            knobs.WorkloadKnobs | knobs.NodeKnobs | knobs.CodeKnobs,
            "knobs/workload.yml, knobs/node.yml and knobs/code.yml",
        ),
        "hypotheses": (knobs.Hypotheses, "knobs/hypotheses.yml"),
        "fault": (faults.FaultFile, "faults/<name>.yml, its parameters filled in"),
        "label": (labels.Label, "A row of incidents/**/labels.jsonl"),
        "topology": (topology.Topology, "topology.json of a run and of a bundle"),
        "workload": (workload.Document, "config/workload.json of a bundle"),
    }
    folder = Path("schemas")
    return {
        folder / f"{name}.schema.json": json.dumps(schema(kind, title), indent=2) + "\n"
        for name, (kind, title) in kinds.items()
    }


def pages() -> dict[Path, str]:
    """Return every generated page, by its path under the project."""
    written = schema_files()
    for role in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        written[role.parents[1].relative_to(ROOT) / "README.md"] = role_page(role.parents[1])
    reference = Path("docs") / "reference"
    written[reference / "scenarios.md"] = scenario_page()
    written[reference / "signals.md"] = signal_page()
    written[reference / "plugins.md"] = plugin_page()
    written[reference / "command.md"] = command_page()
    written[reference / "categories.md"] = category_page()
    written[reference / "causes.md"] = cause_page()
    written[reference / "knobs.md"] = knob_page()
    written[reference / "faults.md"] = fault_page()
    written[Path("docs") / "incidents.md"] = incident_page()
    return written


def stale() -> list[Path]:
    """Return the generated pages that are missing or differ from what would be written now."""
    return [
        path
        for path, text in pages().items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text(encoding="utf-8") != text
    ]


def main() -> int:
    """Write the pages, or with ``--check`` only say which are stale."""
    if "--check" in sys.argv[1:]:
        for path in (old := stale()):
            print(f"{path} is stale: run make docs")
        return 1 if old else 0
    for path, text in pages().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
