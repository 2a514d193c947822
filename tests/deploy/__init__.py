"""Tests of the deployment files: against the settings of Postern and with the tools that read these files."""
