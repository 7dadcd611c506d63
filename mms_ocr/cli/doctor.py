"""``mms-ocr doctor``: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from mms_ocr.cli.diagnosis import Diagnosis, diagnose
from mms_ocr.cli.parts import Finding

HELP = "report what is installed and what is missing, and the commands to install it"

_MARKS = {"ok": "ok", "missing": "MISSING", "too old": "TOO OLD", "broken": "BROKEN"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--json", action="store_true", help="print all of it as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the diagnosis; 1 where something needed is missing, too old or broken."""
    diagnosis = diagnose()
    if args.json:
        as_dict = dataclasses.asdict(diagnosis)
        as_dict["healthy"] = diagnosis.healthy
        print(json.dumps(as_dict, indent=2))
    else:
        print(_report(diagnosis))
    return 0 if diagnosis.healthy else 1


def _report(diagnosis: Diagnosis) -> str:
    lines = [
        f"mms_ocr {diagnosis.mms_ocr}, Python {diagnosis.python} ({sys.executable}), "
        f"{diagnosis.platform}",
        "",
        "needed",
        *(_line(finding) for finding in diagnosis.findings if finding.needed),
        "",
        "optional: MMOCR, for its recognizers and their training (pretraining works without it)",
        *(_line(finding) for finding in diagnosis.findings if not finding.needed),
        "",
        "compatibility shims that act here",
        *(f"  {shim['name']:<20} {shim['reason']}" for shim in diagnosis.shims),
        *([] if diagnosis.shims else ["  none is needed"]),
        "",
        f"compiled operators of mmcv: {diagnosis.mmcv_operators}",
        "",
        "devices",
        *(f"  {device}" for device in diagnosis.devices),
        "",
        *diagnosis.limits,
        *diagnosis.warnings,
    ]
    for needed, words in ((True, "needed"), (False, "optional")):
        commands = diagnosis.needed_commands if needed else diagnosis.optional_commands
        if commands:
            lines += [f"To get what is {words}, type:", *(f"  {line}" for line in commands)]
    if diagnosis.healthy:
        lines.append("Everything needed is here.")
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    mark = _MARKS[finding.state] if finding.needed or finding.state == "ok" else finding.state
    line = f"  {mark:<8} {finding.module:<14} {finding.version or '-':<14}"
    if finding.distributions:
        line += " from " + ", ".join(finding.distributions)
    if finding.detail:
        line += f" ({finding.detail})"
    return line.rstrip()
