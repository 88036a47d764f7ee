"""Sealing and opening of whole bodies, over the ports of `core`; no network, no disk, no clock of its own."""
