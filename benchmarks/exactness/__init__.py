"""Do 4-bit weights, threads and exported models give the same labels?"""
