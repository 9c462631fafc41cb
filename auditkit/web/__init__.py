"""The workbench as a web page of this machine, and notebooks as HTML reports."""
