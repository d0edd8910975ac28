"""What do support staff, operators and auditors see and do? Each entry of the menu is one package."""
