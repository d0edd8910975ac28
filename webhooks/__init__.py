"""How is a webhook received: verified, parsed, stored and answered? Calls no other system."""
