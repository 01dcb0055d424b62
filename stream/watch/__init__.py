"""What is wrong at a site, found from its readings, shelf events and sales. Pure: no clock, no I/O.

``Watch`` follows the readings of gateways: stuck_sensor, dropout, drift, cold_chain, device_fault, and spike.
``Ledger`` follows units of a site: shrinkage, phantom_inventory, demand_shift. The dataflow, ``shelfpulse detect
--site`` and ``shelfpulse evaluate`` use the same two.
"""
