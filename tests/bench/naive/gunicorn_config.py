"""gunicorn's defaults, so that the views do without the settings of the hub's `gunicorn.conf.py`."""
