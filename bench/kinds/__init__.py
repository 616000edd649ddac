"""Other kinds of job: what their samplers reach on scenes of the embedded family."""
