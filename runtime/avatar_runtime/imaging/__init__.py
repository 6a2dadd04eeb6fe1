"""Arrays of pixels become pictures: grids, portraits, animations and the bytes of image files."""
