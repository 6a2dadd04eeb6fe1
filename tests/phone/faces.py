"""faces.py MODEL COUNT: for each of the avatars of a series a line of its name in hexadecimal UTF-16 and the SHA-256 of
its pixels.
"""

import hashlib
import sys

from avatar_runtime import AvatarGenerator
from avatar_runtime.latents import series

names = list(series("phone", int(sys.argv[2])))
with AvatarGenerator.load(sys.argv[1]) as generator:
    for name, image in zip(names, generator.generate(names), strict=True):
        print(name.encode("utf-16-be").hex(), hashlib.sha256(image).hexdigest())
