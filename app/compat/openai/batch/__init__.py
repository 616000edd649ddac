"""OpenAI's Files and Batch: a file with a call a line, drawn as one job of batch work, its answers in files.

========== ==========================================================================
files      uploaded files, in parts in PostgreSQL; read by line
validation the file as a whole: JSON, ids, addresses; wrong, the batch fails
intake     line by line into requests; a body that is wrong is its line's error
states     what a batch is, and each move of that
results    files of answers and errors, made from the rows when they are read
keeper     the thread of a web process that has all this done
routes     the addresses; schemas: their shapes
========== ==========================================================================
"""
