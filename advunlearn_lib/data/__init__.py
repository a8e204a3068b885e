"""Where prompts, captions and reference pictures come from, and how a user's files are read."""
