"""From a cell of a table to a number: what it is made of, how it is computed, where it is kept."""
