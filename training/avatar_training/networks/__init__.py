"""The generator and the discriminator, and their layers for a CPU."""
