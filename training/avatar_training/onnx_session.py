"""Opens classifiers and other ONNX networks with onnxruntime; `avatar_runtime.session` opens only models of ours."""

from typing import TypeAlias

from avatar_runtime.telemetry import telemetry_off

with telemetry_off():
    import onnxruntime as ort

Session: TypeAlias = ort.InferenceSession

_FATAL = 4  # onnxruntime also logs what it raises


def open_session(model: str | bytes, *, spinning: bool = True) -> Session:
    """Open a network on the CPU. Raises a dozen unrelated classes of onnxruntime, bare RuntimeError among them.

    Args:
        model: the path of an ONNX file, or its bytes.
        spinning: whether threads that wait for work keep their cores busy, which is faster if nobody else wants them.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return Session(model, options, providers=["CPUExecutionProvider"])
