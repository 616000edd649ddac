"""What gunicorn serves: `gunicorn --worker-class gthread app.wsgi:app`."""

from app import create_app

app = create_app()
