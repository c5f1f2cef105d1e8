"""`python -m gunicorn`, where the wheel has put the package in gunicorn's place."""

from gunicorn.app.wsgiapp import run

if __name__ == "__main__":
    run()
