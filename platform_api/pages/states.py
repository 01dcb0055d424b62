"""What people read of a state or kind that is stored under a name of ours."""

from typing import Final

from platform_api.pages.texts import N_

STATE_TEXTS: Final[dict[str, str]] = {
    # Orders
    "draft": N_("draft"),
    "submitted": N_("waits for approval"),
    "credit_hold": N_("held for credit"),
    "approved": N_("approved"),
    "allocated": N_("allocated"),
    "part_shipped": N_("part shipped"),
    "shipped": N_("shipped"),
    "delivered": N_("delivered"),
    "closed": N_("closed"),
    "cancelled": N_("cancelled"),
    # Proposals and refills
    "open": N_("open"),
    "ordered": N_("ordered"),
    "received": N_("received"),
    "rejected": N_("rejected"),
    "expired": N_("expired"),
    "disputed": N_("disputed"),
    "done": N_("done"),
    # Returns
    "requested": N_("requested"),
    # Transfers
    "part_sent": N_("part sent"),
    "sent": N_("sent"),
    # Places
    "warehouse": N_("warehouse"),
    "store": N_("back room"),
    "shelf": N_("on the shelves"),
    "transit": N_("on the road"),
    "hold": N_("on hold"),
    # Receivables
    "invoice": N_("invoice"),
    "payment": N_("payment"),
    "credit_note": N_("credit note"),
    "deposit": N_("deposit"),
    # Adjustments of a line
    "tax": N_("tax"),
    "discount": N_("discount on the order"),
    "line_discount": N_("discount on the line"),
    # Levels of price lists
    "special": N_("special price"),
    "org": N_("price of the dealer"),
    "segment": N_("price of the segment"),
    "default": N_("standard price"),
}
"""Message ids by stored name: templates translate them."""
