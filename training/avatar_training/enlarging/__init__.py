"""The same faces from another generator: at twice the size, or with bounded activations."""
