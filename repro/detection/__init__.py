"""Finding a backdoor in a trained model, and taking it out (desanctis 2.2 and 3; Wang et al. 2019, Neural Cleanse).

``reconstruct`` finds the smallest trigger of every class, ``outliers`` asks whether one is unusually small,
``class_margin`` whether it is also small against the classes' own differences, and ``mitigation`` puts it to use.
Everything works on fleets: K models of C classes are K times C problems in one stacked computation.
"""
