raise RuntimeError("a check imports nothing")
