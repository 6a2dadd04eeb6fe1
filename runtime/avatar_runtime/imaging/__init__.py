"""From arrays of pixels to pictures: grids, portraits, animations and image files."""
