"""Print how far the two readings of the sample agree: `python -m models.corpus.agreement [FILE]`.

Cohen's kappa and Krippendorff's alpha (nominal) for sentiment, kappa for each factor. A
file is JSON Lines: `{"text", "first": {"sentiment", "factor"}, "second": {…}}`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from models.corpus.agreement.coefficients import agreement_of, read_double_labels
from models.corpus.expansion import FOLDER

LABELS_FILE = FOLDER / "agreement" / "labels.jsonl"


def main() -> None:
    """Read a file labelled twice and print the coefficients as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path, nargs="?", default=LABELS_FILE, help="JSON Lines labelled twice")
    print(json.dumps(agreement_of(read_double_labels(parser.parse_args().file)), indent=2))  # noqa: T201 - the command's result


if __name__ == "__main__":
    main()
