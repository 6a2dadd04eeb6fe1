"""What a model file says of itself, and what makes it safe to open."""
