"""The CPU limit of a container, read from a made-up /proc and /sys."""

import os
from pathlib import Path

import pytest

from avatar_runtime import AvatarGenerator
from avatar_runtime import session as sessions
from avatar_runtime.cpus import cpu_limit

V1 = "12:memory:/job\n4:cpu,cpuacct:/job/inner\n"


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)


@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        (None, {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "1600000 100000\n"}, 8),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "500000 100000\n"}, 3),
        ("0::/of/the/host\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "nonsense"}, 8),
        ("0::/\n", {"cpu.max": "100000 0\n"}, 8),
        ("nonsense\n", {}, 8),
        (V1, {"cpu/job/inner/cpu.cfs_quota_us": "400000\n", "cpu/job/inner/cpu.cfs_period_us": "100000\n"}, 4),
        (V1, {"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        (V1, {"cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_the_smallest_limit_above_a_process_counts(
    tmp_path: Path, groups: str | None, files: dict[str, str], cpus: int
) -> None:
    if groups is not None:
        files = {"sys/fs/cgroup/" + name: text for name, text in files.items()} | {"proc/self/cgroup": groups}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_limit(tmp_path) == cpus


def test_an_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5}, raising=False)
    assert cpu_limit(tmp_path) == 2


@pytest.mark.parametrize(("limit", "threads", "expected"), [(8, None, 0), (3, None, 3), (3, 5, 5)])
def test_a_session_takes_no_more_threads_than_the_limit_unless_told(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, limit: int, threads: int | None, expected: int
) -> None:
    monkeypatch.setattr(sessions, "cpu_limit", lambda: limit)
    generator = AvatarGenerator.load(tiny_model, threads=threads)
    assert generator._session is not None
    assert generator._session.get_session_options().intra_op_num_threads == expected  # 0: onnxruntime's own choice
