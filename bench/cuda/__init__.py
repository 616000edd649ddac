"""The engine on a GPU, in four minutes: `python -m bench.cuda`."""
