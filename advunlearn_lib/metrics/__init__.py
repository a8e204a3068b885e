"""Metrics, one a file: ASR, FID, CLIP score, and the judges they rest on."""
