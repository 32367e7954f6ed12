"""Write the files that are generated from the code, or check that they are as they would be."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from slipway.doctor.docs import doctor_doc
from slipway.local.spec_reference import spec_reference
from slipway.serving.serve_config.docs import serving_doc
from slipway.spec.loader import spec_schema

PROJECT = Path(__file__).resolve().parents[3]


def generated() -> dict[Path, str]:
    """Every generated file with the content that it should have."""
    return {
        PROJECT / "include/schemas/model.schema.json": json.dumps(spec_schema(), indent=2) + "\n",
        PROJECT / "docs/spec-reference.md": spec_reference(),
        PROJECT / "docs/serving.md": serving_doc(),
        PROJECT / "docs/doctor.md": doctor_doc(),
    }


def main() -> int:
    """Write, or with --check compare; the exit status is 1 if a file is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = [
        file
        for file, content in generated().items()
        if not file.is_file() or file.read_text("utf-8") != content
    ]
    for file in stale:
        if check:
            sys.stderr.write(f"{file.relative_to(PROJECT)} is stale: run `make generate`\n")
        else:
            file.write_text(generated()[file], "utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
