"""``shelfpulse chaos``: breaks a local stack on purpose, scene by scene, and proves afterwards that nothing was lost.

``scenes`` is the table of what is done to it, ``world`` the stack that it is done to, ``wire`` what is said over MQTT
by nobody's gateway, ``run`` the order of events and the account.
"""
