"""The step executor: requests at different steps share one forward.

`order.py` what goes in and comes out · `engine.py` the loop · `lane.py` contiguous rows · `residents.py` the models
held · `curve.py` what a step costs.
"""
