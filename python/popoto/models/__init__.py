"""Models and their queries."""
