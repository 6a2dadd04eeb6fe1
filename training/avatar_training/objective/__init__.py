"""What the networks are trained to do: losses and augmentation."""
