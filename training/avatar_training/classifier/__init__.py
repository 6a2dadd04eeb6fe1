"""The image classifier that steering, rewards, feature heads and KID see through: fetched from npm, written as ONNX."""
