"""From a text, a sound and perhaps some pictures to a video (paper sections 5.3 and 5.4).

`pipeline` is the diffusers pipeline; `long_video` and `transition` make more than one window with it; `request`, `make`
and `jobs` are what the command line asks of them.
"""
