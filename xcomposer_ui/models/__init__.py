"""The model families, as transformers classes. Importing this registers them with transformers' Auto classes.

A family is one folder with a `register` function, and one line here.
"""

from xcomposer_ui.models import xcomposer2

for family in (xcomposer2,):
    family.register()
