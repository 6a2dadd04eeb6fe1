"""The generator, the discriminator, their layers for a CPU, and the three networks of a run."""
