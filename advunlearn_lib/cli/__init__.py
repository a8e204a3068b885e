"""The command line behind ``reproduce.sh``."""
