"""Hostile files made from sound ones. Seeded: input number i of a seed is always the same bytes."""

import os
import random

from hypothesis import HealthCheck, settings

FUZZ = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "3000")), deadline=10_000, suppress_health_check=list(HealthCheck)
)
"""For tests whose inputs hypothesis makes."""
HUGE = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
"""Lengths, shapes and offsets that overflow something."""


def assert_sentence(err: Exception, errors: str = "surrogateescape") -> None:
    """What a refusal says can be printed on one line."""
    message = str(err)
    message.encode("utf-8", errors)
    assert 3 < len(message) < 400
    assert "\n" not in message


def mutated(sound: bytes, rng: random.Random) -> bytes:
    """The bytes of a sound file with one to eight pieces of damage."""
    data = bytearray(sound)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        # Names, shapes and lengths are denser at both ends than in the middle, where the weights are.
        place = rng.randrange(len(data) + 1)
        if rng.random() < 0.5:
            place = min(place, rng.randrange(400)) if rng.random() < 0.6 else max(place, len(data) - rng.randrange(400))
        rng.choice(_DAMAGE)(data, min(max(place, 0), len(data)), rng)
    return bytes(data)


def _flip(data: bytearray, place: int, rng: random.Random) -> None:
    if place < len(data):
        data[place] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, place: int, rng: random.Random) -> None:
    data[place : place + rng.randrange(1, 5)] = rng.randbytes(rng.randrange(1, 5))


def _truncate(data: bytearray, place: int, rng: random.Random) -> None:
    del data[place:]


def _splice(data: bytearray, place: int, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    data[place:place] = data[start : start + rng.randrange(64)]


def _cut(data: bytearray, place: int, rng: random.Random) -> None:
    del data[place : place + rng.randrange(1, 64)]


def _varint(data: bytearray, place: int, rng: random.Random) -> None:
    """A number as protobuf writes it, in the place of a byte."""
    value, encoded = rng.choice(HUGE), bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    data[place : place + 1] = encoded + bytes([value])


def _integer(data: bytearray, place: int, rng: random.Random) -> None:
    """A number as safetensors' header and flatbuffers write it."""
    size = rng.choice((4, 8))
    data[place : place + size] = (rng.choice(HUGE) % 2 ** (8 * size)).to_bytes(size, "little")


def _digits(data: bytearray, place: int, rng: random.Random) -> None:
    """A number as JSON writes it, in the place of the next one."""
    while place < len(data) and not 0x30 <= data[place] <= 0x39:
        place += 1
    end = place
    while end < len(data) and 0x30 <= data[end] <= 0x39:
        end += 1
    data[place:end] = rng.choice((str(rng.choice(HUGE)), "-1", "1e999", "", "[[", "null")).encode()


_DAMAGE = (_flip, _overwrite, _truncate, _splice, _cut, _varint, _integer, _digits)
