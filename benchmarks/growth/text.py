"""The text of benchmarks/growth/doubling.yaml: files cut into pieces of 20,000 characters, shuffled and joined.

python benchmarks/growth/text.py tinystories_sample.txt war_and_peace.txt tinyshakespeare.txt > mixed.txt
"""

import sys
from pathlib import Path
from random import Random

PIECE = 20_000  # characters

text = "".join(Path(name).read_text(encoding="utf-8") for name in sys.argv[1:])
pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
Random(0).shuffle(pieces)
sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
sys.stdout.write("\n".join(pieces))
