"""Before a run: what will it need, and what does it fit. Records, cards and advice; the rehearsing is a backend's."""
