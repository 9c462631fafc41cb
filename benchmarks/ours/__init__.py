"""Our side of a row, where the `auditkit` command alone does not do: one small script each."""
