"""The emoji world: its things and words, its sprites, its pictures. No network is needed to draw it."""
