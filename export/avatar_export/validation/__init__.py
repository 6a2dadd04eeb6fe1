"""How an exported model is compared with the original, and how fast it is."""
