"""The `argus` command without its script: `python <this folder> …` puts this folder on the import path, not the
current one. So the processes that Argus starts find its own packages, whatever packages the current folder has.
"""

from cli.main import main

main()
