"""What keeps evidence private and attributable: pseudonyms, encryption, keys, signatures."""
