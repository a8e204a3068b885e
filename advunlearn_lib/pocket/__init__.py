"""The pocket world: its vocabulary, its pictures, and the training of the models shipped under ``data/pocket``."""
