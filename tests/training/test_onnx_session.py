"""Sessions of classifiers and other ONNX networks."""

import os
import subprocess
import sys
from pathlib import Path


def test_training_lets_onnxruntime_write_no_device_id_into_the_home_folder(tmp_path: Path) -> None:
    users = ("metrics.features", "networks.frozen_features", "steering.activations")
    program = "\n".join(f"import avatar_training.{user}" for user in users)
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]
