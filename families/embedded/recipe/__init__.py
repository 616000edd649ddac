"""How the embedded family's weights are made: every network trained on one device within a wall-clock budget.

    python -m families.embedded.recipe.fetch                                             # pictures and names, from npm
    python -m families.embedded.recipe --seconds 1100 --folder made                     # everything from nothing
    python -m families.embedded.recipe --seconds 400 --folder made --resume families/embedded/weights \\
        --stages large,turbo,medium,small,evaluate                                       # go on from published weights
    python -m families.embedded.recipe --seconds 420 --folder made --resume families/embedded/weights \\
        --stages dit,evaluate                                                            # one member, beside the others
    python -m families.embedded.recipe --tiny --device cpu --seconds 60 --folder made    # toy widths, as the tests do

`names` and `words` say what can be asked for; `scenes` composes prompts and layouts; `grounds` and `painter` draw
them on the device; `data` holds them there, `text` their token states. `stage` trains one network for so many
seconds; `codec`, `scorer`, `denoise`, `distil` (with `prune`) and `transformer` are the stages' losses; `evaluate`
draws and scores every level; `run` is what they share.
"""

import time

STARTED = time.monotonic()  # before torch is imported: the budget counts from here
