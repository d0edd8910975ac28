"""What do support staff, operators and auditors see and do? One package for each entry of the menu."""
