"""What is watched while a twin is in use: whether its author's writing has moved on, and when to learn again."""
