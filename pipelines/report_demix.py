"""Make a dataset's report anew from its manifests, or one report about several datasets together.

python pipelines/report_demix.py DATASET [--work WORK]
python pipelines/report_demix.py DATASET DATASET... --output FOLDER
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# A cluster runs this file where the package may not be installed, only copied.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demix.report import ReportError, merge_reports, write_report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "datasets", nargs="+", metavar="DATASET", help="what `demix build` wrote: a folder or an address"
    )
    parser.add_argument(
        "--work", metavar="WORK", help="its work store, which has media of dropped clips, too (default: DATASET/.work)"
    )
    parser.add_argument("--output", help="where the report about several datasets goes")
    parser.add_argument("--samples", type=int, default=3, help="playable clips per subset and per reason (default 3)")
    arguments = parser.parse_args()
    if len(arguments.datasets) > 1 and not arguments.output:
        parser.error("several datasets need --output FOLDER for their common report")
    try:
        if arguments.output:
            page = merge_reports(arguments.datasets, arguments.output, samples_per_group=arguments.samples)
        else:
            [dataset] = arguments.datasets
            work = arguments.work or f"{dataset.rstrip('/')}/.work"
            page = write_report(dataset, work=work, samples_per_group=arguments.samples)
    except ReportError as error:
        print(error, file=sys.stderr)
        return 1
    print(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
