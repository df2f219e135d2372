"""The network: CogVideoX's transformer with the multi-stream temporal ControlNet. Plain maths, no distributed code."""
