"""The `argus` command without its script: `python <this folder> …` puts this folder on the path, not the current one.

So the processes that Argus starts find its own packages, also where the user stands in a folder with an `app` or `core`.
"""

from cli.main import main

main()
