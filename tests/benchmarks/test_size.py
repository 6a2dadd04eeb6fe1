from pathlib import Path

from avatar_runtime.generator import embedded_model
from benchmarks.suite import size


def test_an_environment_is_what_its_requirements_lead_to() -> None:
    found, missing = size.closure(("avatar-edge",))
    assert {"avatar-edge", "numpy", "onnxruntime", "pillow", "click"} <= found
    assert not {"mindspore", "onnx", "matplotlib"} & found
    assert not missing
    more, _ = size.closure(("avatar-edge[export]",))
    assert found < more
    assert "onnx" in more
    assert "matplotlib" not in more


def test_what_is_not_installed_is_named() -> None:
    assert size.closure(("no-such-distribution", "numpy")) == ({"numpy"}, {"no-such-distribution"})


def test_the_size_of_a_distribution_is_that_of_its_files() -> None:
    import click

    package = Path(click.__file__).parent
    assert size.installed("click") >= sum(path.stat().st_size for path in package.glob("*.py"))


def test_the_wheel_holds_the_rooms_and_the_model() -> None:
    packed = size.packaged()
    assert packed[f"avatar_runtime/models/{embedded_model().name}"] == embedded_model()
    assert {"avatar_export/cli.py", "avatar_training/cli.py", "avatar_runtime/web/sw.js"} <= set(packed)
    assert {"avatar_runtime/web/avatar.wasm", "avatar_runtime/web/index.html"} <= set(packed)
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in packed)
    assert 1e6 < size.wheel() < sum(path.stat().st_size for path in packed.values())
