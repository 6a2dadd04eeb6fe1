"""How a float graph comes to compute in eight bits."""
