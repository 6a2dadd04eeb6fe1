"""compare.py ONE OTHER: what two processors made of the same names. Ends with an error if latents differ in any bit."""

import sys
from pathlib import Path

import numpy as np

one, other = (np.load(path) for path in sys.argv[1:])
same = one["latents"].tobytes() == other["latents"].tobytes()
print(f"latents of {len(one['latents'])} names: {'the same bits' if same else 'DIFFERENT'}")
for model in set(one.files) - {"machine", "latents"}:
    levels = np.abs(one[model].astype(np.int16) - other[model])
    print(
        f"{Path(model).name}: {one['machine']} and {other['machine']} differ in {(levels > 0).mean():.4%} of values, "
        f"by {levels.max()} levels at most"
    )
sys.exit(not same)
