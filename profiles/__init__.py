"""What was measured, as data: a folder a family with its profiles (one a device), quality table and predictor.

Nothing is imported from here; `core.measured` says where each file is read and written.
"""
