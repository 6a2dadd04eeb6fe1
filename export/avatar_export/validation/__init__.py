"""Compares an exported model with the original, in what it draws and in speed."""
