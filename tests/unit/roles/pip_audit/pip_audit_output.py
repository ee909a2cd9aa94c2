"""Packages in the output of pip-audit: one without a finding, one with a finding, one that is not on the index."""

FLASK = {"name": "flask", "version": "3.1.3", "vulns": []}
JINJA = {"name": "jinja2", "version": "2.10", "vulns": [
    {"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"], "aliases": ["CVE-2019-10906"]}]}
OWN = {"name": "Shop.App", "skip_reason": "Dependency not found on PyPI"}
