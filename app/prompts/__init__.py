"""What a prompt may say beside its words: alternatives and wildcards, drawn by the seed.

`docs/prompts.md` is for those who write prompts.
"""
