"""Names out of files, and files of names."""

import io
import re
from itertools import product

import pytest

from avatar_runtime import InputError
from avatar_runtime.output.bulk import MAX_NAME_BYTES, file_stems, read_names, shard

NASTY = ["", "a/b", "a\\b", "..", ".", ".hidden", "CON", "nul.txt", "alice", "Alice", "ALICE", "x" * 300, "x" * 301]
NASTY += ["アリス" * 100, "\ud800", "\udfff", "a\0b", "a\nb", "a ", "a.", "a%2Fb", "-rf", "*", "😀", "e3b0c44298fc1c14"]


def read(data: bytes) -> list[str]:
    return list(read_names(io.BytesIO(data), "team.txt"))


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"", []),
        (b"alice\nbob", ["alice", "bob"]),
        (b"alice\r\nbob\r\n", ["alice", "bob"]),
        (b"\n\r\nalice\n\n", ["alice"]),
        ("\ufeffアリス\n\ufeff".encode(), ["アリス", "\ufeff"]),
        (b" a b \n\ta\x0b\x00\n", [" a b ", "\ta\x0b\x00"]),
        ("a\u2028b\x85c\rd\n".encode(), ["a\u2028b\x85c\rd"]),
    ],
    ids=repr,
)
def test_one_name_a_line(data: bytes, names: list[str]) -> None:
    assert read(data) == names


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"alice\n\nb\xffob\n", "team.txt, line 3: byte 2 is 0xff, which is not UTF-8; save the file as UTF-8"),
        ("alice".encode("utf-16"), "line 1: byte 1 is 0xff"),
        (b"\xed\xa0\x80", "line 1: byte 1 is 0xed"),
        (b"a\n" + b"x" * MAX_NAME_BYTES, "line 2: longer than a mebibyte; write one name per line"),
    ],
    ids=["latin", "utf-16", "surrogate", "endless"],
)
def test_what_is_no_name_is_refused_with_its_line(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(data)


def test_different_names_have_different_safe_file_names() -> None:
    short = ["".join(letters) for n in range(4) for letters in product("aA./%- \ud800é", repeat=n)]
    names = [*short, *NASTY]
    names += file_stems(names)  # names that look like our own file names
    names = list(dict.fromkeys(names))
    stems = file_stems(names)
    assert len({stem.casefold() for stem in stems}) == len(names)
    for stem in stems:
        assert len(f"{stem}.png".encode()) <= 128
        assert not re.search(r'^\.|^$|[\x00-\x1f<>:"/\\|?*]|[. ]$', stem)


@pytest.mark.parametrize("name", ["CON", "con", "nul.tar", "COM1", "lpt9.x", "Aux"])
def test_devices_of_windows_are_no_file_names(name: str) -> None:
    assert re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{16}}", file_stems([name])[0])


@pytest.mark.parametrize(("index", "count"), [(0, 4), (5, 4), (-1, 4), (1, 0)])
def test_a_shard_that_is_not_there_is_refused(index: int, count: int) -> None:
    with pytest.raises(InputError, match=f"not {index}/{count}"):
        shard([], index, count)
