"""The step executor: requests at different steps share one forward.

`order.py` what goes in and comes out · `engine.py` the loop · `lane.py` contiguous rows · `forward.py` one forward,
halved where it fails · `levels.py` what level a request runs at · `desks.py` work beside the loop · `residents.py` the
models held · `curve.py` what a step costs · `ticket.py` one request on its way.
"""
