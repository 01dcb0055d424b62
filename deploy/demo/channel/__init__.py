"""A believable channel for the demo's companies: what they sell, and what they did in the last quarter.

``assortment`` is what there is and for how much, ``demand`` who buys it, ``desk`` what people do at their desks, each
through the platform's own services; ``history`` plays thirteen weeks of it and ``today`` what is on the desks now.
"""
